"""Text that the target writes itself, kept on disk in parts so that no token is written twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from litdraft.data.distributed import Share
from litdraft.data.progress import work
from litdraft.data.rows.rows import Rows
from litdraft.decoding.autoregress import Autoregress
from litdraft.io import replacing, tidy
from litdraft.protocols import Target
from litdraft.sampling import Sampling

PART = 128  # rows a file; an interruption loses at most these


class Writer:
    """Lets the target continue prompts, or remembers how it did.

    The key of a text is everything it depends on: the target (by a hash of its weights, not by
    where it lies), the prompts, the sampling, the seed and the limit. A part's rows are always
    written together and draw random numbers of their own, so a text that was interrupted, or that
    several processes wrote, is the same to the byte. manifest.json says what it is.
    """

    def __init__(
        self, target: Target, folder: Path, seed: int, batch: int = 32, share: Share | None = None
    ) -> None:
        self.target, self.folder = target, folder
        self.seed, self.batch = seed, batch
        self.share = share or Share()

    def continued(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        sampling: Sampling,
        first_row: int = 0,
    ) -> Rows:
        """Each prompt and what the target writes behind it, its end token included."""
        facts = self._facts(prompts, max_new_tokens, sampling, first_row)
        folder = self.folder / "written" / key_of(facts)
        starts = range(0, len(prompts), PART)
        paths = {start: folder / f"{start:08d}.arrow" for start in starts}
        missing = [
            start
            for number, start in enumerate(starts)
            if self.share.mine(number) and not _whole(paths[start], min(PART, len(prompts) - start))
        ]
        if missing:
            tidy(folder)
        rows = sum(len(prompts[start : start + PART]) for start in missing)
        with work("target writes", rows, self.share.rank == 0 and rows > self.batch) as bar:
            for start in missing:
                some = prompts[start : start + PART]
                part = self._write(some, max_new_tokens, sampling, first_row + start)
                part.save(paths[start])
                bar.done(len(some), part.tokens() - sum(map(len, some)))
        self.share.barrier()
        whole = Rows.joined([self._there(paths[start]) for start in starts])
        if self.share.rank == 0:
            _manifest(folder / "manifest.json", facts, whole)
        return whole

    def _there(self, path: Path) -> Rows:
        part = Rows.load(path)
        if part is None:
            raise RuntimeError(f"{path} is missing, although all processes are done with it")
        return part

    def _write(
        self, prompts: Sequence[Sequence[int]], limit: int, sampling: Sampling, first_row: int
    ) -> Rows:
        decoder = Autoregress(self.target, sampling, self.seed)
        rows: list[list[int]] = []
        for start in range(0, len(prompts), self.batch):
            some = prompts[start : start + self.batch]
            ids = range(first_row + start, first_row + start + len(some))
            written = decoder.generate(some, limit, ids).tokens
            rows += [[*prompt, *text] for prompt, text in zip(some, written, strict=True)]
        return Rows.of(rows, [len(prompt) for prompt in prompts])

    def _facts(
        self, prompts: Sequence[Sequence[int]], limit: int, sampling: Sampling, first_row: int
    ) -> dict[str, object]:
        given = json.dumps([list(prompt) for prompt in prompts])
        return {
            "target": self.target.spec.facts(),
            "dtype": str(self.target.dtype).removeprefix("torch."),
            "prompts": hashlib.sha256(given.encode()).hexdigest(),
            "sampling": asdict(sampling),
            "seed": self.seed,
            "max_new_tokens": limit,
            "first_row": first_row,
            "batch": self.batch,
        }


def dealt_out(
    writer: Writer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperatures: Sequence[float],
    first_row: int = 0,
) -> Rows:
    """Every prompt continued, at temperatures dealt out in turn; each draws numbers of its own."""
    parts = []
    for number, temperature in enumerate(temperatures):
        mine = prompts[number :: len(temperatures)]
        if mine:
            row = first_row + ((number + 1) << 30)
            parts.append(writer.continued(mine, max_new_tokens, Sampling(temperature), row))
    return Rows.joined(parts)


def key_of(facts: dict[str, object]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _whole(path: Path, rows: int) -> bool:
    """Whether a part is there, undamaged."""
    part = Rows.load(path)
    return part is not None and len(part) == rows


def _manifest(path: Path, facts: dict[str, object], rows: Rows) -> None:
    told = {**facts, "rows": len(rows), "tokens": rows.tokens()}
    text = json.dumps(told, indent=2) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
