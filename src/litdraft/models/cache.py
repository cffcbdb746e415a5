"""A static key-value cache whose rows advance at their own speed."""

from __future__ import annotations

import torch
from torch import Tensor


class StaticCache:
    """Keys and values at fixed addresses, L x B x H x T x E, and one length per row.

    A pass writes behind each row's length and does not advance it; `keep` does. So rolling back
    is setting a length, and rows are never shifted or re-aligned.
    """

    def __init__(
        self,
        layers: int,
        rows: int,
        kv_heads: int,
        room: int,
        head_width: int,
        dtype: torch.dtype,
        device: torch.device,
    ) -> None:
        shape = (layers, rows, kv_heads, room, head_width)
        self.keys_LBHTE = torch.zeros(shape, dtype=dtype, device=device)
        self.values_LBHTE = torch.zeros(shape, dtype=dtype, device=device)
        self.length_B = torch.zeros(rows, dtype=torch.long, device=device)
        self._rows_B1 = torch.arange(rows, device=device)[:, None]
        self._slots_T = torch.arange(room, device=device)
        self._positions_BP = self.length_B[:, None]

    def place(self, count: int) -> tuple[Tensor, Tensor]:
        """Where the next `count` tokens of each row go: positions_BP, and who may see whom.

        mask_B1PT lets a token see every slot up to its own; whatever a longer row or a rejected
        draft left behind stands further on and is never seen before it is overwritten.
        """
        self._positions_BP = self.length_B[:, None] + self._slots_T[:count]
        return self._positions_BP, (self._slots_T <= self._positions_BP[..., None])[:, None]

    def write(self, layer: int, keys_BHPE: Tensor, values_BHPE: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values where `place` said; return all of the layer's."""
        rows, slots = self._rows_B1, self._positions_BP
        keys, values = self.keys_LBHTE[layer], self.values_LBHTE[layer]
        keys.transpose(1, 2)[rows, slots] = keys_BHPE.transpose(1, 2)
        values.transpose(1, 2)[rows, slots] = values_BHPE.transpose(1, 2)
        return keys, values

    def keep(self, count_B: Tensor) -> None:
        """Advance each row by the first count_B of the tokens just read."""
        self.length_B += count_B
