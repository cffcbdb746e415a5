"""One linear map for each future position: the second method of gpt-k."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from litdraft.drafters.parts.parallel import Parallel
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec


class Matrix(Parallel):
    """Draft position j makes A_j h of the target's hidden state.

    A_j is a full matrix that begins as the identity, or, with `map_rank`, the identity and a
    product of two matrices of that rank, the second of which begins as zero.
    """

    def __init__(
        self, spec: TargetSpec, heads: int, map_rank: int | None = None, **more: Any
    ) -> None:
        super().__init__(spec, heads, **more)
        width = spec.width
        if map_rank is not None and not 1 <= map_rank < width:
            raise UserError(
                f"drafter.map_rank={map_rank} was given: it is null for a full matrix, or 1 to "
                f"{width - 1}, less than the width of {spec.name}"
            )
        if map_rank is None:
            self.maps_KDD = nn.Parameter(torch.eye(width).repeat(heads, 1, 1))
        else:
            self.down_KRD = nn.Parameter(torch.randn(heads, map_rank, width) / width**0.5)
            self.up_KDR = nn.Parameter(torch.zeros(heads, width, map_rank))
        self.map_rank = map_rank

    def ahead(self, hidden_nD: Tensor) -> Tensor:
        """states_nKD."""
        if self.map_rank is None:
            return torch.einsum("nd,ked->nke", hidden_nD, self.maps_KDD)
        low_nKR = torch.einsum("nd,krd->nkr", hidden_nD, self.down_KRD)
        return hidden_nD[:, None] + torch.einsum("nkr,kdr->nkd", low_nKR, self.up_KDR)
