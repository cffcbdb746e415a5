"""Teacher outputs computed once for all rows, in files mapped into memory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor
from torch.utils.data import Dataset

from litdraft.data.continuations import cache_key
from litdraft.data.distributed import Distributed
from litdraft.data.progress import TokenProgress, token_progress
from litdraft.data.rows.rows import Row, Rows
from litdraft.errors import UserError
from litdraft.io import read_json, remove_leftovers, replacing, write_json
from litdraft.protocols import Target, TargetOutput
from litdraft.teachers.base import Teacher
from litdraft.teachers.shards import announce, check_disk_space, is_complete, plan_shards, prefetch

FORMAT = 1
SHARD_BYTES = 64 << 20  # about one file; an interruption loses at most this
TOKENS_PER_PASS = 4096  # tokens per forward pass


class TeacherCache(Dataset[Row]):
    """Rows, each with its stored teacher outputs.

    The cache key covers everything they depend on: target, rows, teacher and taps. A shard's rows
    always go through the target in the same batches, so an interrupted cache, or one that several
    processes wrote, is the same to the byte. A truncated shard is written again. `path`: a folder
    to use instead of the one named by the key; it must be empty or have a cache with the same
    facts.
    """

    def __init__(
        self,
        rows: Rows,
        teacher: Teacher,
        target: Target,
        taps: tuple[int, ...],
        cache: Path,
        distributed: Distributed,
        path: str | None = None,
    ) -> None:
        self.rows, self.teacher, self.taps = rows, teacher, taps
        lengths_B = rows.lengths_B
        positions_B = lengths_B - 1
        per_token = teacher.bytes_per_token(target.spec, target.dtype, len(taps))
        self.shards = plan_shards(positions_B, per_token, SHARD_BYTES)
        self.shard_of: list[int] = [n for n, (a, b) in enumerate(self.shards) for _ in range(a, b)]
        ends_B = positions_B.cumsum(0)
        self.begin: list[int] = (ends_B - positions_B).tolist()
        self.first: list[int] = [self.begin[a] for a, _ in self.shards]
        self.sizes: list[int] = positions_B.tolist()
        facts = self._facts(target)
        self.folder = Path(path) if path else cache / "teacher" / cache_key(facts)
        _check(self.folder, facts)
        self._opened: dict[int, dict[str, Tensor]] = {}
        self._write(target, distributed, sum(self.sizes) * per_token, facts)
        prefetch([self._path(shard) for shard in range(len(self.shards))])

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Row:
        shard = self.shard_of[index]
        begin = self.begin[index] - self.first[shard]
        teacher_outputs = {
            name: values_nC[begin : begin + self.sizes[index]]
            for name, values_nC in self._shard(shard).items()
        }
        return self.rows[index]._replace(teacher_outputs=teacher_outputs)

    def _shard(self, shard: int) -> dict[str, Tensor]:
        """A shard's tensors, mapped; the system reads pages on access."""
        if shard not in self._opened:
            with safe_open(self._path(shard), framework="pt") as file:
                self._opened[shard] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        return self._opened[shard]

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
        if target.spec.encoder_decoder is not None:  # the encoder reads the prompt
            facts["prompts"] = self.rows.prompts_fingerprint()
        plain: dict[str, Any] = json.loads(json.dumps(facts))  # equal to what the manifest gives
        return plain

    def _write(
        self, target: Target, distributed: Distributed, size: float, facts: dict[str, Any]
    ) -> None:
        missing = [n for n in range(len(self.shards)) if not is_complete(self._path(n))]
        left = size * len(missing) / max(len(self.shards), 1)
        distributed.run_once(lambda: check_disk_space(self.folder, left))
        if missing and distributed.rank == 0:
            remove_leftovers(self.folder)
            announce(self.folder, size, left, sum(self.sizes))
            write_json(self.folder / "manifest.json", facts)
        distributed.barrier()
        mine = [shard for shard in missing if distributed.owns(shard)]
        total = sum(self.sizes[row] for shard in mine for row in range(*self.shards[shard]))
        with token_progress("running the target", total, distributed.rank == 0) as progress:
            for shard in mine:
                stored = self._read(target, *self.shards[shard], progress)
                with replacing(self._path(shard)) as path:
                    # save_file would leave temporary files behind if killed.
                    path.write_bytes(save(stored))
        distributed.barrier()

    @torch.no_grad()
    def _read(
        self, target: Target, first: int, end: int, progress: TokenProgress
    ) -> dict[str, Tensor]:
        """The outputs to store of rows [first, end), concatenated. Rows of similar length share a
        pass."""
        order = sorted(range(first, end), key=lambda row: self.sizes[row])
        by_row: dict[int, dict[str, Tensor]] = {}
        while order:
            batch = order[-max(1, TOKENS_PER_PASS // (self.sizes[order[-1]] + 1)) :]
            del order[-len(batch) :]
            rows = [self.rows[row] for row in batch]
            tokens = [row.tokens_T[:-1].to(target.device) for row in rows]
            tokens_BP = torch.nn.utils.rnn.pad_sequence(tokens, batch_first=True)
            prompt_B = torch.tensor([row.prompt for row in rows], device=target.device)
            output = target.forward(tokens_BP, taps=self.taps, prompt_B=prompt_B)
            for index, row in enumerate(batch):
                part, size = _row_output(output, index, self.sizes[row]), self.sizes[row]
                by_row[row] = {n: v.cpu() for n, v in self.teacher.to_store(target, part).items()}
                progress.advance(size, size)
        names = next(iter(by_row.values()))
        return {name: torch.cat([by_row[row][name] for row in range(first, end)]) for name in names}


def _row_output(output: TargetOutput, index: int, size: int) -> TargetOutput:
    """One row of an output, without its padding."""
    taps_BPC = output.taps_BPC
    taps_PC = None if taps_BPC is None else taps_BPC[index, :size]
    return TargetOutput(output.hidden_BPD[index, :size], taps_PC)


def _check(folder: Path, facts: dict[str, Any]) -> None:
    """UserError if the folder has a cache with other facts."""
    manifest = folder / "manifest.json"
    if not manifest.exists():
        return
    stored = read_json(manifest)
    keys = facts.keys() | stored.keys()
    differ = sorted(key for key in keys if facts.get(key) != stored.get(key))
    if "target" in differ:
        theirs, ours = (_target_name(some.get("target") or {}) for some in (stored, facts))
        raise UserError(
            f"{folder} has the teacher cache of another target ({theirs}, but this one is {ours}): "
            "give teacher.path another folder, or leave it out"
        )
    if differ:
        raise UserError(
            f"{folder} has a teacher cache with a different {', '.join(differ)}: give teacher.path "
            "another folder, or leave it out"
        )


def _target_name(spec: dict[str, Any]) -> str:
    return f"{spec.get('name')} with weights {spec.get('fingerprint')}"
