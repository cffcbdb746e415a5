"""The cache of an encoder-decoder: its source once, its own text token by token."""

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
    """The input of cross-attention: every layer's keys and values of the source, BSHE, mask_B11S
    (False for padding), length_B of the sources, and the shortest and longest length."""

    layers: list[tuple[Tensor, Tensor]]
    mask_B11S: Tensor
    length_B: Tensor
    shortest: int
    longest: int

    def padded(self, slots: int) -> SourceKeys:
        """The same, padded to `slots`: torch.compile compiles every new shape again."""
        more = slots - self.mask_B11S.shape[-1]
        layers = [
            (F.pad(keys, (0, 0, 0, 0, 0, more)), F.pad(values, (0, 0, 0, 0, 0, more)))
            for keys, values in self.layers
        ]
        mask_B11S = F.pad(self.mask_B11S, (0, more))
        return SourceKeys(layers, mask_B11S, self.length_B, self.shortest, self.longest)


class T5Cache(Slots):
    """Lengths count whole rows, but only the decoder's tokens have slots. The slots are allocated
    by `begin`, when the lengths of the sources are known."""

    source: SourceKeys
    keys_LBTHE: Tensor
    values_LBTHE: Tensor

    def __init__(self, rows: int, capacity: int, device: torch.device) -> None:
        super().__init__(rows, capacity, device)
        self._before = 0  # tokens before the slots, as `limit_slots` counts

    def begin(self, source: SourceKeys) -> None:
        """Store the sources and allocate slots; `keep` then advances rows over their prompts."""
        self.source = source = source.padded(round_up(source.longest))
        self._before, keys_BSHE = source.longest, source.layers[0][0]
        # No row needs more slots than the capacity after the shortest source.
        self._slots_T = self._slots_T[: round_up(len(self._slots_T) - source.shortest)]
        self._limit = len(self._slots_T)
        shape = (len(source.layers), len(keys_BSHE), self._limit, *keys_BSHE.shape[2:])
        self.keys_LBTHE, self.values_LBTHE = keys_BSHE.new_zeros(shape), keys_BSHE.new_zeros(shape)

    def _filled_B(self) -> Tensor:
        return (self.length_B - self.source.length_B).clamp_min(0)  # none until prompts are kept

    def write(self, layer: int, keys_BPHE: Tensor, values_BPHE: Tensor) -> tuple[Tensor, Tensor]:
        """Store a layer's new keys and values; returns all visible ones, BTHE."""
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
