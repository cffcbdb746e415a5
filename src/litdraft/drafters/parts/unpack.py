"""Packed texts laid out apart, for networks that carry something from one token to the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Apart:
    """text_S and place_S: where each of some places (B x S of packed rows, or any) stands when
    every text has a row of its own."""

    text_S: Tensor
    place_S: Tensor

    @classmethod
    def of(cls, start_BS: Tensor) -> Apart:
        """start_BS says where the text of each place begins in its row."""
        rows, places = start_BS.shape
        key_BS = torch.arange(rows, device=start_BS.device)[:, None] * places + start_BS
        text_BS = torch.unique(key_BS, return_inverse=True)[1]
        return cls(text_BS, torch.arange(places, device=start_BS.device) - start_BS)

    def spread(self, x_SC: Tensor) -> Tensor:
        """x_nTC, one row a text, zero behind its end."""
        inner = x_SC.shape[self.text_S.dim() :]
        shape = (int(self.text_S.max()) + 1, int(self.place_S.max()) + 1, *inner)
        return x_SC.new_zeros(shape).index_put((self.text_S, self.place_S), x_SC)

    def gather(self, y_nTC: Tensor) -> Tensor:
        """y_SC again."""
        return y_nTC[self.text_S, self.place_S]

    def through(self, network: Callable[[Tensor], Tensor], x_SC: Tensor) -> Tensor:
        """y_SC of a network from x_nTC to y_nTC. Texts of about the same length go through it
        together: none is padded to more than twice its own."""
        parts = [
            (chosen_S, part.gather(network(part.spread(x_SC[chosen_S]))))
            for chosen_S, part in self._by_length()
        ]
        y_SC = parts[0][1].new_zeros(*self.text_S.shape, parts[0][1].shape[-1])
        for chosen_S, y_mC in parts:
            y_SC = y_SC.masked_scatter(chosen_S[..., None], y_mC)
        return y_SC

    def _by_length(self) -> Iterator[tuple[Tensor, Apart]]:
        """The places of texts of 2^(c - 1) + 1 to 2^c tokens, for every c that there is."""
        length_n = torch.bincount(self.text_S.flatten())
        class_S = torch.frexp((length_n - 1).float())[1][self.text_S]
        for some in class_S.unique():
            chosen_S = class_S == some
            text_m = torch.unique(self.text_S[chosen_S], return_inverse=True)[1]
            yield chosen_S, Apart(text_m, self.place_S[chosen_S])
