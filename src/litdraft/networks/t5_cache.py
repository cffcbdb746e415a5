"""What an encoder-decoder remembers: its source once, its own text token by token."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from litdraft.networks.cache import Slots, round_up
from litdraft.protocols import select


@dataclass
class SourceKeys:
    """What a decoder looks at: every layer's keys and values of the source, BSHE, and mask_B11S of
    what is no padding; length_B of the sources, the shortest and the longest."""

    layers: list[tuple[Tensor, Tensor]]
    mask_B11S: Tensor
    length_B: Tensor
    least: int
    most: int

    def padded(self, slots: int) -> SourceKeys:
        """The same in so many slots: every new size of a tensor is compiled anew."""
        more = slots - self.mask_B11S.shape[-1]
        layers = [
            (F.pad(keys, (0, 0, 0, 0, 0, more)), F.pad(values, (0, 0, 0, 0, 0, more)))
            for keys, values in self.layers
        ]
        mask_B11S = F.pad(self.mask_B11S, (0, more))
        return SourceKeys(layers, mask_B11S, self.length_B, self.least, self.most)


class T5Cache(Slots):
    """Lengths count whole rows, but only what the decoder reads has slots, and they are made when
    `begin` hears how long the sources are."""

    source: SourceKeys
    keys_LBTHE: Tensor
    values_LBTHE: Tensor

    def __init__(self, rows: int, capacity: int, device: torch.device) -> None:
        super().__init__(rows, capacity, device)
        self._before = 0  # tokens before the slots, as `limit_slots` counts

    def begin(self, source: SourceKeys) -> None:
        """Take in the sources; the rows' lengths stand behind them once `keep` says so."""
        self.source = source = source.padded(round_up(source.most))
        self._before, keys_BSHE = source.most, source.layers[0][0]
        # No row has more slots than there is room behind the shortest source.
        self._slots_T = self._slots_T[: round_up(len(self._slots_T) - source.least)]
        self._limit = len(self._slots_T)
        shape = (len(source.layers), len(keys_BSHE), self._limit, *keys_BSHE.shape[2:])
        self.keys_LBTHE, self.values_LBTHE = keys_BSHE.new_zeros(shape), keys_BSHE.new_zeros(shape)

    def _filled_B(self) -> Tensor:
        return (self.length_B - self.source.length_B).clamp_min(0)  # none until prompts are kept

    def write(self, layer: int, keys_BPHE: Tensor, values_BPHE: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; all of the layer's, BTHE."""
        keys_BTHE = self.store(self.keys_LBTHE[layer], keys_BPHE)
        return keys_BTHE, self.store(self.values_LBTHE[layer], values_BPHE)

    def limit_slots(self, slots: int) -> None:
        super().limit_slots(slots - self._before)

    def select(self, rows_n: Tensor) -> None:
        super().select(rows_n)
        self.source = select(self.source, rows_n)
        self.keys_LBTHE = self.keys_LBTHE[:, rows_n]
        self.values_LBTHE = self.values_LBTHE[:, rows_n]

    def _stored_tensors(self) -> Iterator[Tensor]:
        yield from self.keys_LBTHE
        yield from self.values_LBTHE
