"""Parallel residual heads: Medusa (Cai et al., arXiv 2401.10774)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.drafters.parts.parallel import Parallel
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec


class MTP(Parallel):
    """Draft position j makes h + SiLU(W_j h + b_j) of the target's hidden state, `layers` times.

    W_j and b_j begin as zero, so that every head begins as the target's guess of the next token.
    """

    def __init__(self, spec: TargetSpec, heads: int, layers: int = 1, **more: Any) -> None:
        super().__init__(spec, heads, **more)
        if layers < 1:
            raise UserError(f"drafter.layers={layers} was given: it needs at least one")
        size = (heads, spec.width)
        self.weights = nn.ParameterList(torch.zeros(*size, spec.width) for _ in range(layers))
        self.biases = nn.ParameterList(torch.zeros(size) for _ in range(layers))

    def ahead(self, hidden_nD: Tensor) -> Tensor:
        """states_nKD."""
        states_nKD = hidden_nD[:, None].expand(-1, self.heads, -1)
        for weight_KDD, bias_KD in zip(self.weights, self.biases, strict=True):
            inner_nKD = torch.einsum("nkd,ked->nke", states_nKD, weight_KDD) + bias_KD
            states_nKD = states_nKD + F.silu(inner_nKD)
        return states_nKD
