"""A static key-value cache whose rows advance at their own speed."""

from __future__ import annotations

import torch
from torch import Tensor

BUCKET = 64  # slots; a pass attends to a whole number of buckets, so that shapes are few


def round_up(slots: int) -> int:
    """A whole number of buckets: every new size of a tensor is compiled anew."""
    return -(-slots // BUCKET) * BUCKET


class Slots:
    """Where the tokens of every row stand: `room` slots a row, and one length per row.

    A pass writes behind each row's length and does not advance it; `keep` does. So rolling back
    is setting a length, and rows are never shifted or re-aligned.
    """

    def __init__(self, rows: int, capacity: int, device: torch.device) -> None:
        self.length_B = torch.zeros(rows, dtype=torch.long, device=device)
        self._rows_B1 = torch.arange(rows, device=device)[:, None]
        self._slots_T = torch.arange(capacity, device=device)
        self._slots_n = self.length_B
        self._within = capacity

    def place(self, count: int) -> tuple[Tensor, Tensor]:
        """Where the next `count` tokens of each row go: positions_BP, and who may see whom.

        mask_B1PT lets a token see every slot up to its own; whatever a longer row or a rejected
        draft left behind stands further on and is never seen before it is overwritten.
        """
        positions_BP = self._filled_B()[:, None] + self._slots_T[:count]
        # Rows and slots as one dimension: a layer's keys are then stored by one plain copy.
        self._slots_n = (self._rows_B1 * len(self._slots_T) + positions_BP).flatten()
        seen_T = self._slots_T[: self._within]
        return positions_BP, (seen_T <= positions_BP[..., None])[:, None]

    def _filled_B(self) -> Tensor:
        """How many slots of each row are taken."""
        return self.length_B

    def store(self, stored_BTHE: Tensor, new_BPHE: Tensor) -> Tensor:
        """Write new entries where `place` said; all of the layer's that may be seen, BTHE."""
        slots_n = self._slots_n.to(stored_BTHE.device)  # elsewhere, where layers stand apart
        stored_BTHE.flatten(0, 1).index_copy_(0, slots_n, new_BPHE.flatten(0, 1))
        return stored_BTHE[:, : self._within]

    def limit_slots(self, slots: int) -> None:
        """Promise that no row reaches beyond so many slots for now: the others cost nothing."""
        self._within = min(round_up(slots), len(self._slots_T))

    def select(self, rows_n: Tensor) -> None:
        """Go on with these rows alone."""
        self.length_B = self.length_B[rows_n]
        self._rows_B1 = self._rows_B1[: len(rows_n)]

    def keep(self, count_B: Tensor) -> None:
        """Advance each row by the first count_B of the tokens just read."""
        self.length_B += count_B


class StaticCache(Slots):
    """Keys and values at fixed addresses, L x B x T x H x E."""

    def __init__(
        self,
        layers: int,
        rows: int,
        kv_heads: int,
        capacity: int,
        head_width: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        super().__init__(rows, capacity, device)
        shape = (layers, rows, capacity, kv_heads, head_width)
        self.keys_LBTHE = torch.zeros(shape, dtype=dtype, device=device)
        self.values_LBTHE = torch.zeros(shape, dtype=dtype, device=device)

    def write(self, layer: int, keys_BPHE: Tensor, values_BPHE: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; all of the layer's, BTHE."""
        keys_BTHE = self.store(self.keys_LBTHE[layer], keys_BPHE)
        return keys_BTHE, self.store(self.values_LBTHE[layer], values_BPHE)

    def select(self, rows_n: Tensor) -> None:
        super().select(rows_n)
        self.keys_LBTHE = self.keys_LBTHE[:, rows_n]
        self.values_LBTHE = self.values_LBTHE[:, rows_n]
