"""The recurrent MLP speculator (Wertheimer et al., arXiv 2404.19124)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.drafters.parts.head import Head
from litdraft.drafters.parts.stepwise import Unrolled
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec


@dataclass
class MLPDraft:
    """The state that each step makes anew."""

    state_nC: Tensor


class ScaledNorm(nn.Module):
    """x / rms(x), scaled and shifted by element where it has weights."""

    def __init__(self, width: int, affine: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width)) if affine else None
        self.bias = nn.Parameter(torch.zeros(width)) if affine else None

    def forward(self, x_nC: Tensor) -> Tensor:
        normed_nC = F.rms_norm(x_nC, x_nC.shape[-1:], self.weight, eps=1e-6)
        return normed_nC if self.bias is None else normed_nC + self.bias


class MLP(Unrolled):
    """Step j makes s = GELU(LN_j(P_j s + (e_w / s_w) E_j[token])) of the state s before it, which
    begins as the target's hidden state, and reads logits off s through a head of its own.

    `heads` draft positions share the weights a step needs (`tied`: all but the first projection,
    whose input is as wide as the target) or have their own. s_w = 0.5^(0.5/heads) says how much of
    a state survives a step, e_w = sqrt((1 - s_w^2) width / 2) how much a token adds. `scale_input`
    divides the first state by its size times sqrt(2).
    """

    def __init__(
        self,
        spec: TargetSpec,
        heads: int,
        width: int = 256,
        tied: bool = True,
        scale_input: bool = True,
        head: str = "own",
        vocabulary: int | str | None = None,
    ) -> None:
        super().__init__()
        if heads < 1 or width < 1:
            raise UserError(
                f"drafter=mlp was given heads={heads}, width={width}: both must be at least 1"
            )
        self.heads, self.tied, self.width = heads, tied, width
        count = 1 if tied else heads
        self.head = Head(spec, width, head, vocabulary, count=count)
        self.normed = ScaledNorm(spec.width, affine=False) if scale_input else None
        self.survives = 0.5 ** (0.5 / heads)
        self.adds = math.sqrt((1 - self.survives**2) * width / 2)
        inputs = [spec.width, *[width] * (min(heads - 1, 1) if tied else heads - 1)]
        self.projections = nn.ModuleList(nn.Linear(size, width, bias=False) for size in inputs)
        self.embeddings = nn.ModuleList(nn.Embedding(spec.vocabulary, width) for _ in range(count))
        self.norms = nn.ModuleList(ScaledNorm(width) for _ in range(count))
        for weight in (
            w for part in (self.projections, self.embeddings) for w in part.parameters()
        ):
            nn.init.normal_(weight, std=width**-0.5)
        if self.head.inputs != width:  # the target's unembedding is as wide as the target
            self.out: nn.Linear | None = nn.Linear(width, self.head.inputs, bias=False)
        else:
            self.out = None

    @property
    def most_drafts(self) -> int | None:
        """A tied drafter goes on with its second projection, if it learned one."""
        return None if self.tied and self.heads > 1 else self.heads

    def begin(self, hidden_nD: Tensor) -> MLPDraft:
        if self.normed is None:
            return MLPDraft(hidden_nD)
        return MLPDraft(self.normed(hidden_nD) / math.sqrt(2))

    def step(self, memory: MLPDraft, token_n: Tensor, j: int) -> Tensor:
        """The state after reading a token, which is also what its logits are read off."""
        parts: tuple[Any, ...] = (self.projections, self.embeddings, self.norms)
        project, embed, norm = (part[min(j, len(part) - 1)] for part in parts)
        read_nC = project(memory.state_nC) + self.adds / self.survives * embed(token_n)
        memory.state_nC = F.gelu(norm(read_nC))
        return memory.state_nC if self.out is None else self.out(memory.state_nC)
