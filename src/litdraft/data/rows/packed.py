"""Several short rows in one, so that no batch is padding."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.utils.data import Dataset

from litdraft.data.rows.rows import Row


class Packed(Dataset[Row]):
    """Several short rows in one of at most `length` tokens: none reads another, see `start_T`."""

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
            row.trained_T[0] = False  # the token behind another text's end is nobody's guess
            first += len(row.tokens_T)
        return Row(
            torch.cat([row.tokens_T for row in rows]),
            1,
            torch.cat([row.trained_T for row in rows]),
            torch.cat(starts),
            _end_to_end([row.taught for row in rows if row.taught is not None]),
        )


def _end_to_end(taught: list[dict[str, Tensor]]) -> dict[str, Tensor] | None:
    """Rows of T - 1 entries each, the entry between two of them filled with zeros."""
    if not taught:
        return None
    gap = {name: torch.zeros_like(values[:1]) for name, values in taught[0].items()}
    spread = [part for some in taught for part in (some, gap)][:-1]
    return {name: torch.cat([part[name] for part in spread]) for name in gap}


def bins(lengths: Sequence[int], length: int) -> list[list[int]]:
    """Rows put together until no more fit: longest first, into the fullest bin with room."""
    full: list[list[int]] = []
    with_room: dict[int, list[list[int]]] = {}
    rooms: list[int] = []  # those of with_room that have a bin, ascending
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        at = bisect_left(rooms, lengths[row])
        capacity = rooms[at] if at < len(rooms) else length
        if at < len(rooms):
            bin_ = with_room[capacity].pop()
            if not with_room[capacity]:
                del rooms[at]
        else:
            full.append(bin_ := [])
        bin_.append(row)
        left = capacity - lengths[row]
        if not with_room.setdefault(left, []):
            insort(rooms, left)
        with_room[left].append(bin_)
    return full
