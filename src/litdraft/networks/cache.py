"""A static key-value cache whose rows advance at their own speed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.protocols import Tree

BUCKET = 64  # slots; a pass attends to a whole number of buckets, so that there are few shapes


def round_up(slots: int) -> int:
    """A whole number of buckets: torch.compile compiles every new shape again."""
    return -(-slots // BUCKET) * BUCKET


class Layout(NamedTuple):
    """The position of each token of a pass, and which slots it sees.

    mask_B1PT is True for the slots of the row's text, of the token itself and of the tokens before
    it or, in a tree, its ancestors. slots_BP, only of a tree: where the tokens are stored; None
    means that a token's slot is its position.
    """

    positions_BP: Tensor
    mask_B1PT: Tensor
    slots_BP: Tensor | None = None

    def key_positions_BT(self) -> Tensor:
        """The position of the key in each visible slot."""
        keys_BT = torch.arange(self.mask_B1PT.shape[-1], device=self.mask_B1PT.device)[None]
        if self.slots_BP is None:
            return keys_BT
        keys_BT = keys_BT.expand(len(self.slots_BP), -1)
        return keys_BT.scatter(1, self.slots_BP, self.positions_BP)


class Slots:
    """The filled slots of every row: `capacity` slots and one length per row.

    A pass writes after each row's length and does not advance it; `keep` does. So rolling back is
    setting a length, and rows are never shifted or re-aligned.
    """

    def __init__(self, rows: int, capacity: int, device: torch.device) -> None:
        self.length_B = torch.zeros(rows, dtype=torch.long, device=device)
        self._rows_B1 = torch.arange(rows, device=device)[:, None]
        self._slots_T = torch.arange(capacity, device=device)
        self._slots_n = self.length_B
        self._limit = capacity

    def layout(self, count: int, tree: Tree | None = None) -> Layout:
        """Positions, slots and mask of the next `count` tokens of each row.

        What a longer row or a rejected draft left in later slots is overwritten before it is seen.
        """
        filled_B1 = self._filled_B()[:, None]
        slots_BP = filled_B1 + self._slots_T[:count]
        # Rows and slots as one dimension: one copy stores a layer's keys.
        self._slots_n = (self._rows_B1 * len(self._slots_T) + slots_BP).flatten()
        seen_T = self._slots_T[: self._limit]
        if tree is None:
            return Layout(slots_BP, (seen_T <= slots_BP[..., None])[:, None])
        mask_BPT = (seen_T < filled_B1)[:, None].expand(-1, count, -1)
        own_BPP = slots_BP[:, None].expand(-1, count, -1)  # the slots of this pass
        mask_BPT = mask_BPT.scatter(2, own_BPP, tree.ancestors_BPP)
        return Layout(filled_B1 + tree.depth_BP, mask_BPT[:, None], slots_BP)

    def _filled_B(self) -> Tensor:
        """How many slots of each row are filled."""
        return self.length_B

    def store(self, stored_BTHE: Tensor, new_BPHE: Tensor) -> Tensor:
        """Write new entries to the slots of `layout`; returns the layer's visible entries, BTHE."""
        slots_n = self._slots_n.to(stored_BTHE.device)  # layers may be on other devices
        stored_BTHE.flatten(0, 1).index_copy_(0, slots_n, new_BPHE.flatten(0, 1))
        return stored_BTHE[:, : self._limit]

    def limit_slots(self, slots: int) -> None:
        """Promise that no row uses more slots for now: the others then cost nothing."""
        self._limit = min(round_up(slots), len(self._slots_T))

    def select(self, rows_n: Tensor) -> None:
        """Continue with these rows alone."""
        self.length_B = self.length_B[rows_n]
        self._rows_B1 = self._rows_B1[: len(rows_n)]

    def keep(self, count_B: Tensor, path_BP: Tensor | None = None) -> None:
        """Advance each row by count_B of the tokens just read: the first ones of a chain, or those
        along a path through a tree (indices within the pass, the root first)."""
        if path_BP is not None:
            self._gather_path(path_BP)
        self.length_B += count_B

    def _gather_path(self, path_BP: Tensor) -> None:
        """Move the entries of a path to the front of the pass, in every layer."""
        filled_B1 = self._filled_B()[:, None]
        first_B1 = self._rows_B1 * len(self._slots_T) + filled_B1
        from_n = (first_B1 + path_BP).flatten()
        to_n = (first_B1 + self._slots_T[: path_BP.shape[1]]).flatten()
        for stored_BTHE in self._stored_tensors():
            stored_nHE = stored_BTHE.flatten(0, 1)
            moved_nHE = stored_nHE[from_n.to(stored_nHE.device)]  # a copy: paths overlap
            stored_nHE.index_copy_(0, to_n.to(stored_nHE.device), moved_nHE)

    def _stored_tensors(self) -> Iterator[Tensor]:
        """Every layer's entries, rows and slots first."""
        raise NotImplementedError(f"{type(self).__name__} stores nothing")


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
        """Store a layer's new keys and values; returns all visible ones, BTHE."""
        keys_BTHE = self.store(self.keys_LBTHE[layer], keys_BPHE)
        return keys_BTHE, self.store(self.values_LBTHE[layer], values_BPHE)

    def select(self, rows_n: Tensor) -> None:
        super().select(rows_n)
        self.keys_LBTHE = self.keys_LBTHE[:, rows_n]
        self.values_LBTHE = self.values_LBTHE[:, rows_n]

    def _stored_tensors(self) -> Iterator[Tensor]:
        yield from self.keys_LBTHE
        yield from self.values_LBTHE
