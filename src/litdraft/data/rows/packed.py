"""Several short rows packed into one, so that batches need little padding."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from litdraft.data.rows.rows import Row


class Packed(Dataset[Row]):
    """Rows of at most `length` tokens, each made of several short ones that do not see each other
    (see `Row.start_T`)."""

    def __init__(self, rows: Dataset[Row], lengths_B: Tensor, length: int) -> None:
        self.rows = rows
        self.bins = bins(lengths_B.tolist(), length)
        self.lengths_B = torch.tensor(
            [sum(int(lengths_B[row]) for row in some) for some in self.bins], dtype=torch.long
        )

    def __len__(self) -> int:
        return len(self.bins)

    def __getitem__(self, index: int) -> Row:
        rows = [self.rows[row] for row in self.bins[index]]
        starts, first = [], 0
        for row in rows:
            starts.append(torch.full_like(row.tokens_T, first))
            row.trained_T[0] = False  # nothing predicts a text's first token from another text
            first += len(row.tokens_T)
        return Row(
            torch.cat([row.tokens_T for row in rows]),
            1,
            torch.cat([row.trained_T for row in rows]),
            torch.cat(starts),
            _concatenate([row.teacher_outputs for row in rows if row.teacher_outputs is not None]),
        )


def _concatenate(teacher_outputs: list[dict[str, Tensor]]) -> dict[str, Tensor] | None:
    """Concatenate rows of T - 1 entries each, with one entry of zeros between two rows."""
    if not teacher_outputs:
        return None
    gap = {name: torch.zeros_like(values[:1]) for name, values in teacher_outputs[0].items()}
    spread = [part for some in teacher_outputs for part in (some, gap)][:-1]
    return {name: torch.cat([part[name] for part in spread]) for name in gap}


def bins(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Which rows to pack together: longest first, each into the fullest bin with enough space."""
    packed: list[list[int]] = []
    by_space: dict[int, list[list[int]]] = {}
    spaces: list[int] = []  # the keys of by_space that have a bin, ascending
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        index = bisect_left(spaces, lengths[row])
        space = spaces[index] if index < len(spaces) else length
        if index < len(spaces):
            bin_ = by_space[space].pop()
            if not by_space[space]:
                del spaces[index]
        else:
            packed.append(bin_ := [])
        bin_.append(row)
        left = space - lengths[row]
        if not by_space.setdefault(left, []):
            insort(spaces, left)
        by_space[left].append(bin_)
    return packed
