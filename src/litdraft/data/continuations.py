"""Text that the target writes: cached on disk in parts, so that no token is generated twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from litdraft.data.distributed import Distributed
from litdraft.data.progress import token_progress
from litdraft.data.rows.rows import Rows
from litdraft.decoding.autoregress import Autoregress
from litdraft.io import remove_leftovers, replacing
from litdraft.protocols import Target
from litdraft.sampling import Sampling

ROWS_PER_FILE = 128  # an interruption loses at most these


class Writer:
    """Continues prompts with the target, or loads the continuations from the cache.

    The cache key covers everything that the text depends on: the target (a hash of its weights,
    not its path), the prompts, the sampling, the seed and the limit. The rows of one file are
    always generated together, with their own random numbers. So an interrupted text, or one that
    several processes wrote, is the same to the byte. manifest.json describes the text.
    """

    def __init__(
        self,
        target: Target,
        folder: Path,
        seed: int,
        batch: int = 32,
        distributed: Distributed | None = None,
    ) -> None:
        self.target, self.folder = target, folder
        self.seed, self.batch = seed, batch
        self.distributed = distributed or Distributed()

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        sampling: Sampling,
        first_row: int = 0,
    ) -> Rows:
        """Each prompt followed by the target's continuation, including its end token."""
        facts = self._facts(prompts, max_new_tokens, sampling, first_row)
        folder = self.folder / "written" / cache_key(facts)
        starts = range(0, len(prompts), ROWS_PER_FILE)
        paths = {start: folder / f"{start:08d}.arrow" for start in starts}
        parts = {start: prompts[start : start + ROWS_PER_FILE] for start in starts}
        missing = [
            start
            for index, start in enumerate(starts)
            if self.distributed.owns(index) and not _is_complete(paths[start], len(parts[start]))
        ]
        if missing:
            remove_leftovers(folder)
        rows = sum(len(parts[start]) for start in missing)
        shown = self.distributed.rank == 0 and rows > self.batch
        with token_progress("generating text with the target", rows, shown) as progress:
            for start in missing:
                part = self._generate(parts[start], max_new_tokens, sampling, first_row + start)
                part.save(paths[start])
                new_tokens = part.token_count() - sum(map(len, parts[start]))
                progress.advance(len(part), new_tokens)
        self.distributed.barrier()
        text = Rows.concatenate([_load_part(paths[start]) for start in starts])
        if self.distributed.rank == 0:
            _write_manifest(folder / "manifest.json", facts, text)
        return text

    def _generate(
        self, prompts: Sequence[Sequence[int]], limit: int, sampling: Sampling, first_row: int
    ) -> Rows:
        decoder = Autoregress(self.target, sampling, self.seed)
        rows: list[list[int]] = []
        for start in range(0, len(prompts), self.batch):
            batch = prompts[start : start + self.batch]
            row_ids = range(first_row + start, first_row + start + len(batch))
            texts = decoder.generate(batch, limit, row_ids).tokens
            rows += [[*prompt, *text] for prompt, text in zip(batch, texts, strict=True)]
        return Rows.of(rows, [len(prompt) for prompt in prompts])

    def _facts(
        self, prompts: Sequence[Sequence[int]], limit: int, sampling: Sampling, first_row: int
    ) -> dict[str, object]:
        prompts_json = json.dumps([list(prompt) for prompt in prompts])
        return {
            "target": self.target.spec.facts(),
            "dtype": str(self.target.dtype).removeprefix("torch."),
            "prompts": hashlib.sha256(prompts_json.encode()).hexdigest(),
            "sampling": asdict(sampling),
            "seed": self.seed,
            "max_new_tokens": limit,
            "first_row": first_row,
            "batch": self.batch,
        }


def write_at_temperatures(
    writer: Writer,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    temperatures: Sequence[float],
    first_row: int = 0,
) -> Rows:
    """Continue every prompt: prompt i at temperature i modulo their number. Each temperature uses
    its own random numbers."""
    parts = []
    for index, temperature in enumerate(temperatures):
        chosen = prompts[index :: len(temperatures)]
        if chosen:
            row = first_row + ((index + 1) << 30)
            parts.append(writer.write(chosen, max_new_tokens, Sampling(temperature), row))
    return Rows.concatenate(parts)


def cache_key(facts: dict[str, object]) -> str:
    """A short hash of plain data, for a file or folder name."""
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


def _is_complete(path: Path, rows: int) -> bool:
    """Whether a part exists with all its rows."""
    part = Rows.load(path)
    return part is not None and len(part) == rows


def _load_part(path: Path) -> Rows:
    part = Rows.load(path)
    if part is None:
        raise RuntimeError(f"{path} is missing, although all processes have finished writing")
    return part


def _write_manifest(path: Path, facts: dict[str, object], rows: Rows) -> None:
    manifest = {**facts, "rows": len(rows), "tokens": rows.token_count()}
    text = json.dumps(manifest, indent=2) + "\n"
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        with replacing(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
