"""A teacher that is asked once: what it said about rows of text, in files mapped into memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from litdraft.data.continuations import key_of
from litdraft.data.distributed import Share
from litdraft.data.progress import Work, work
from litdraft.data.rows.rows import Row, Rows
from litdraft.errors import UserError
from litdraft.io import read_json, replacing, tidy, write_json
from litdraft.protocols import Target, TargetOutput
from litdraft.teachers.base import Teacher
from litdraft.teachers.shards import check_room, fetch, planned, tell, whole

FORMAT = 1
SHARD = 64 << 20  # bytes a file, about: what a kill may lose
TOGETHER = 4096  # tokens read in one pass


class TeacherCache(Dataset[Row]):
    """Rows, each with what the teacher keeps of the target's reading.

    The key is what it depends on: target, rows, teacher, taps. A shard's rows are always read in
    the same company, so a cache that was interrupted, or that several processes wrote, is the
    same to the byte; a shard that is cut short is found and written again. `path` names a folder
    to use instead of the key's own: it must hold a cache of the same facts, or nothing.
    """

    def __init__(
        self,
        rows: Rows,
        teacher: Teacher,
        target: Target,
        taps: tuple[int, ...],
        cache: Path,
        share: Share,
        path: str | None = None,
    ) -> None:
        self.rows, self.teacher, self.taps = rows, teacher, taps
        lengths_B = rows.lengths_B
        positions_B = lengths_B - 1
        per_token = teacher.bytes_per_token(target.spec, target.dtype, len(taps))
        self.shards = planned(positions_B, per_token, SHARD)
        self.shard_of: list[int] = [n for n, (a, b) in enumerate(self.shards) for _ in range(a, b)]
        ends_B = positions_B.cumsum(0)
        self.begin: list[int] = (ends_B - positions_B).tolist()
        self.first: list[int] = [self.begin[a] for a, _ in self.shards]
        self.sizes: list[int] = positions_B.tolist()
        facts = self._facts(target)
        self.folder = Path(path) if path else cache / "teacher" / key_of(facts)
        _check(self.folder, facts)
        self._open: dict[int, dict[str, Tensor]] = {}
        self._write(target, share, sum(self.sizes) * per_token, facts)
        fetch([self._path(shard) for shard in range(len(self.shards))])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        shard = self.shard_of[index]
        begin = self.begin[index] - self.first[shard]
        taught = {
            name: values_nC[begin : begin + self.sizes[index]]
            for name, values_nC in self._opened(shard).items()
        }
        return self.rows[index]._replace(taught=taught)

    def _opened(self, shard: int) -> dict[str, Tensor]:
        """Mapped, not read: pages come as they are touched."""
        if shard not in self._open:
            with safe_open(self._path(shard), framework="pt") as file:
                self._open[shard] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return self._open[shard]

    def _path(self, shard: int) -> Path:
        return self.folder / f"{shard:06d}.safetensors"

    def _facts(self, target: Target) -> dict[str, Any]:
        facts = {
            "format": FORMAT,
            "target": target.spec.facts(),
            "dtype": str(target.dtype).removeprefix("torch."),
            "text": self.rows.fingerprint(),
            "rows": len(self.rows),
            "positions": sum(self.sizes),
            "taps": list(self.taps),
            **self.teacher.facts(target),
        }
        if target.spec.encoder_decoder is not None:  # what it reads depends on where a source ends
            facts["prompts"] = self.rows.prompts_fingerprint()
        plain: dict[str, Any] = json.loads(json.dumps(facts))  # as the manifest gives it back
        return plain

    def _write(self, target: Target, share: Share, size: float, facts: dict[str, Any]) -> None:
        missing = [n for n in range(len(self.shards)) if not whole(self._path(n))]
        left = size * len(missing) / max(len(self.shards), 1)
        share.once(lambda: check_room(self.folder, left))
        if missing and share.rank == 0:
            tidy(self.folder)
            tell(self.folder, size, left, sum(self.sizes))
            write_json(self.folder / "manifest.json", facts)
        share.barrier()
        mine = [shard for shard in missing if share.mine(shard)]
        total = sum(self.sizes[row] for shard in mine for row in range(*self.shards[shard]))
        with work("target reads", total, share.rank == 0) as bar:
            for shard in mine:
                kept = self._read(target, *self.shards[shard], bar)
                with replacing(self._path(shard)) as path:
                    # save_file would leave files of its own when killed.
                    path.write_bytes(save(kept))
        share.barrier()

    @torch.no_grad()
    def _read(self, target: Target, first: int, end: int, bar: Work) -> dict[str, Tensor]:
        """What is kept of these rows, end to end; rows of similar length are read together."""
        order = sorted(range(first, end), key=lambda row: self.sizes[row])
        by_row: dict[int, dict[str, Tensor]] = {}
        while order:
            some = order[-max(1, TOGETHER // (self.sizes[order[-1]] + 1)) :]
            del order[-len(some) :]
            rows = [self.rows[row] for row in some]
            tokens = [row.tokens_T[:-1].to(target.device) for row in rows]
            tokens_BP = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
            prompt_B = torch.tensor([row.prompt for row in rows], device=target.device)
            output = target.forward(tokens_BP, taps=self.taps, prompt_B=prompt_B)
            for place, row in enumerate(some):
                taps_BPC, size = output.taps_BPC, self.sizes[row]
                part = TargetOutput(
                    output.hidden_BPD[place, :size],
                    None if taps_BPC is None else taps_BPC[place, :size],
                )
                by_row[row] = {n: v.cpu() for n, v in self.teacher.keep(target, part).items()}
                bar.done(size, size)
        names = next(iter(by_row.values()))
        return {name: torch.cat([by_row[row][name] for row in range(first, end)]) for name in names}


def _check(folder: Path, facts: dict[str, Any]) -> None:
    """UserError if the folder holds a cache of something else."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return
    found = read_json(manifest)
    differ = sorted(key for key in facts.keys() | found.keys() if facts.get(key) != found.get(key))
    if "target" in differ:
        theirs, ours = (_named(told.get("target") or {}) for told in (found, facts))
        raise UserError(
            f"{folder} is a teacher cache made by another target ({theirs}, and this one is "
            f"{ours}): give teacher.path another folder, or leave it out"
        )
    if differ:
        raise UserError(
            f"{folder} is a teacher cache of other {', '.join(differ)}: give teacher.path another "
            "folder, or leave it out"
        )


def _named(spec: dict[str, Any]) -> str:
    return f"{spec.get('name')} with weights {spec.get('fingerprint')}"
