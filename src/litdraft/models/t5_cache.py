"""What an encoder-decoder remembers: its source once, its own text token by token."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from litdraft.models.cache import Slots, roomy
from litdraft.protocols import select


@dataclass
class Source:
    """What a decoder looks at: length_B of every row's source, mask_B11S of what is no padding, and
    every layer's keys and values of it, BSHE."""

    length_B: Tensor
    mask_B11S: Tensor
    layers: list[tuple[Tensor, Tensor]]


class T5Cache(Slots):
    """Lengths count whole rows, but only what the decoder reads has slots, and they are made when
    `begin` hears how long the sources are."""

    source: Source
    keys_LBTHE: Tensor
    values_LBTHE: Tensor

    def __init__(self, rows: int, room: int, device: torch.device) -> None:
        super().__init__(rows, room, device)
        self._least = 0  # tokens of the shortest source: no row has more slots than room behind it

    def begin(self, source: Source) -> None:
        """Take in the sources; the rows' lengths stand behind them once `keep` says so."""
        self.source, keys_BSHE = source, source.layers[0][0]
        self._least = int(source.length_B.min())
        self._slots_T = self._slots_T[: roomy(len(self._slots_T) - self._least)]
        self._within = len(self._slots_T)
        shape = (len(source.layers), len(keys_BSHE), self._within, *keys_BSHE.shape[2:])
        self.keys_LBTHE, self.values_LBTHE = keys_BSHE.new_zeros(shape), keys_BSHE.new_zeros(shape)

    def _filled_B(self) -> Tensor:
        return (self.length_B - self.source.length_B).clamp_min(0)  # none until prompts are kept

    def write(self, layer: int, keys_BPHE: Tensor, values_BPHE: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; all of the layer's, BTHE."""
        keys_BTHE = self.store(self.keys_LBTHE[layer], keys_BPHE)
        return keys_BTHE, self.store(self.values_LBTHE[layer], values_BPHE)

    def within(self, slots: int) -> None:
        super().within(slots - self._least)

    def select(self, rows_n: Tensor) -> None:
        super().select(rows_n)
        self.source = select(self.source, rows_n)
        self.keys_LBTHE = self.keys_LBTHE[:, rows_n]
        self.values_LBTHE = self.values_LBTHE[:, rows_n]
