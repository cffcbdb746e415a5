"""Packed texts laid out apart, for networks that carry something from one token to the next."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Apart:
    """text_BS and place_BS: where each place of packed rows stands when every text has a row."""

    text_BS: Tensor
    place_BS: Tensor

    @classmethod
    def of(cls, start_BS: Tensor) -> Apart:
        """start_BS says where the text of each place begins in its row."""
        rows, places = start_BS.shape
        key_BS = torch.arange(rows, device=start_BS.device)[:, None] * places + start_BS
        text_BS = torch.unique(key_BS, return_inverse=True)[1]
        return cls(text_BS, torch.arange(places, device=start_BS.device) - start_BS)

    def spread(self, x_BSC: Tensor) -> Tensor:
        """x_nTC, one row a text, zero behind its end."""
        shape = (int(self.text_BS.max()) + 1, int(self.place_BS.max()) + 1, *x_BSC.shape[2:])
        return x_BSC.new_zeros(shape).index_put((self.text_BS, self.place_BS), x_BSC)

    def gather(self, y_nTC: Tensor) -> Tensor:
        """y_BSC again."""
        return y_nTC[self.text_BS, self.place_BS]
