"""Token rows of unequal length: how they are kept, stored and batched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from litdraft.models.files import replacing


class Batch(NamedTuple):
    """Right-padded rows; the first prompt_B tokens of each were given, the rest was written."""

    tokens_BT: Tensor
    length_B: Tensor
    prompt_B: Tensor


@dataclass(frozen=True)
class Rows(Dataset[tuple[Tensor, int]]):
    """Rows end to end in one int32 tensor, so that millions of tokens are three tensors."""

    tokens_n: Tensor
    length_B: Tensor
    prompt_B: Tensor

    @classmethod
    def of(cls, rows: Sequence[Sequence[int]], prompts: Sequence[int] | None = None) -> Rows:
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.long)
        flat = torch.tensor([token for row in rows for token in row], dtype=torch.int32)
        given = torch.ones_like(lengths) if prompts is None else torch.tensor(prompts)
        return cls(flat, lengths, given.long())

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        columns = zip(*((p.tokens_n, p.length_B, p.prompt_B) for p in parts), strict=True)
        return cls(*(torch.cat(column) for column in columns))

    def __post_init__(self) -> None:
        ends = self.length_B.cumsum(0)
        object.__setattr__(self, "_starts", (ends - self.length_B).tolist())

    def __len__(self) -> int:
        return len(self.length_B)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        start = self.__dict__["_starts"][index]
        row_T = self.tokens_n[start : start + int(self.length_B[index])]
        return row_T.long(), int(self.prompt_B[index])

    def lists(self) -> list[list[int]]:
        return [self[index][0].tolist() for index in range(len(self))]

    def prompts(self) -> list[list[int]]:
        """The given part of every row."""
        given = self.prompt_B.tolist()
        return [row[:prompt] for row, prompt in zip(self.lists(), given, strict=True)]

    def save(self, path: Path) -> None:
        tensors = {"tokens": self.tokens_n, "length": self.length_B, "prompt": self.prompt_B}
        with replacing(path) as temporary:
            save_file(tensors, temporary)

    @classmethod
    def load(cls, path: Path) -> Rows | None:
        """What `save` wrote; None where there is no such file, or a damaged one."""
        try:
            with safe_open(path, framework="pt") as file:
                return cls(*(file.get_tensor(name) for name in ("tokens", "length", "prompt")))
        except (OSError, SafetensorError):
            return None


def collate(items: Sequence[tuple[Tensor, int]]) -> Batch:
    """Pad on the right with zeros; nothing reads the padding."""
    rows, prompts = zip(*items, strict=True)
    return Batch(
        torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True),
        torch.tensor([len(row) for row in rows]),
        torch.tensor(prompts),
    )


class TrainingBatches(Sampler[list[int]]):
    """One process's share of shuffled global batches.

    The order depends on (seed, epoch) alone and a global batch is dealt out row by row, so N
    processes together see what one would see. An incomplete last batch is left out, unless it is
    the only one.
    """

    def __init__(self, rows: int, batch: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.rows, self.batch, self.seed = rows, min(batch, rows), seed
        self.rank, self.world = rank, world
        self.epoch = 0
        self.sampler = self  # where Lightning looks for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch, a resumed one included."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows // self.batch

    def __iter__(self) -> Iterator[list[int]]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(self.rows, generator=generator).tolist()
        for number in range(len(self)):
            together = order[number * self.batch : (number + 1) * self.batch]
            yield together[self.rank :: self.world]
