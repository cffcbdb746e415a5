"""What an encoder-decoder remembers: its source once, its own text token by token."""

from __future__ import annotations

import torch
from torch import Tensor

from litdraft.models.cache import Slots, roomy


class T5Cache(Slots):
    """Lengths count whole rows, but only what the decoder reads has slots, and they are made when
    `begin` hears how long the sources are. The keys and values of the sources stay as they are."""

    source: list[tuple[Tensor, Tensor]]  # keys and values of every layer, BSHE
    mask_B11S: Tensor
    keys_LBTHE: Tensor
    values_LBTHE: Tensor

    def __init__(self, rows: int, room: int, device: torch.device) -> None:
        super().__init__(rows, room, device)
        self.source_B = torch.zeros_like(self.length_B)
        self._least = 0  # tokens of the shortest source: no row has more slots than room behind it

    def begin(
        self, source_B: Tensor, source: list[tuple[Tensor, Tensor]], mask_B11S: Tensor
    ) -> None:
        """Take in the sources; the rows' lengths then stand behind them once `keep` says so."""
        keys = source[0][0]
        self.source_B, self.source, self.mask_B11S = source_B.clone(), source, mask_B11S
        self._least = int(source_B.min())
        self._slots_T = self._slots_T[: roomy(len(self._slots_T) - self._least)]
        self._within = len(self._slots_T)
        shape = (len(source), len(keys), self._within, *keys.shape[2:])
        self.keys_LBTHE, self.values_LBTHE = keys.new_zeros(shape), keys.new_zeros(shape)

    def _filled_B(self) -> Tensor:
        return (self.length_B - self.source_B).clamp_min(0)  # none before the prompt is kept

    def write(self, layer: int, keys_BPHE: Tensor, values_BPHE: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; all of the layer's, BTHE."""
        keys_BTHE = self.store(self.keys_LBTHE[layer], keys_BPHE)
        return keys_BTHE, self.store(self.values_LBTHE[layer], values_BPHE)

    def within(self, slots: int) -> None:
        super().within(slots - self._least)

    def select(self, rows_n: Tensor) -> None:
        super().select(rows_n)
        self.source_B, self.mask_B11S = self.source_B[rows_n], self.mask_B11S[rows_n]
        self.source = [(keys[rows_n], values[rows_n]) for keys, values in self.source]
        self.keys_LBTHE = self.keys_LBTHE[:, rows_n]
        self.values_LBTHE = self.values_LBTHE[:, rows_n]
