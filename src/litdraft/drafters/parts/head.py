"""From a drafter's states to logits of the tokens it may draft."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.errors import UserError
from litdraft.native.build import linear, packed
from litdraft.protocols import Target, TargetSpec, Unregistered

KINDS = ("target", "own")


class Head(nn.Module):
    """The target's frozen unembedding, one's own, or one's own embedding (`tied`); over all tokens
    or over the most frequent ones.

    A reduced draft vocabulary (FR-Spec, arXiv 2502.14856) makes drafts cheap: most of what a target
    writes is made of few tokens, and the unembedding is the larger part of a small drafter. What
    lies outside is never drafted, so the output stays the target's own.
    """

    vocabulary_U: Tensor | None

    def __init__(
        self,
        spec: TargetSpec,
        width: int,
        kind: str = "target",
        vocabulary: int | str | None = None,
        count: int = 1,
        tied: nn.Embedding | None = None,
    ) -> None:
        """`vocabulary`: how many tokens, `auto` for a quarter of the target's, None for all;
        `count`: own ones for so many draft positions, the last of which serves all behind it."""
        super().__init__()
        size = -(-spec.vocabulary // 4) if vocabulary == "auto" else vocabulary
        known = size is None or (isinstance(size, int) and 0 < size <= spec.vocabulary)
        if (kind not in KINDS and tied is None) or not known:
            raise UserError(
                f"head={kind}, vocabulary={vocabulary} was given: head is target or own, and "
                f"vocabulary null (all), auto (a quarter) or 1 to {spec.vocabulary}, the tokens "
                f"that {spec.name} has"
            )
        self.kind = "tied" if tied is not None else kind
        self.inputs = spec.width if self.kind == "target" else width  # how wide states must be
        self.outputs = int(size or spec.vocabulary)  # U
        ids_U = None if size is None else torch.arange(self.outputs)
        self.register_buffer("vocabulary_U", ids_U)
        self._tied = Unregistered(tied)  # registered where it embeds
        self._borrowed: Callable[[Tensor], Tensor] | None = None
        self._borrowed_dtype = torch.float32
        self._packed: list[Callable[[Tensor], Tensor]] = []
        if self.kind == "own":
            self.own = nn.ModuleList(
                nn.Linear(width, self.outputs, bias=False) for _ in range(count)
            )

    def bind(self, target: Target) -> None:
        """Borrow the target's unembedding, which stays outside the module registry."""
        if self.kind != "target":
            return
        ids_U = self.vocabulary_U
        self._borrowed = target.unembed if ids_U is None else target.unembed_subset(ids_U)
        self._borrowed_dtype = target.dtype

    def learn(self, counts_V: Tensor) -> None:
        """Draft only the tokens that stand most often in a text; for a reduced vocabulary."""
        if self.vocabulary_U is not None:
            best_U = counts_V.argsort(descending=True, stable=True)[: len(self.vocabulary_U)]
            self.vocabulary_U.copy_(best_U.sort().values)

    @torch.no_grad()
    def start_as(self, target: Target) -> None:
        """Own unembeddings begin as the target's, whose width they must have."""
        one_DD = torch.eye(self.inputs, dtype=target.dtype, device=target.device)
        rows_UD = target.unembed(one_DD).T
        if self.vocabulary_U is not None:
            rows_UD = rows_UD[self.vocabulary_U]
        for j in range(len(self.own)):
            self._weight(j).copy_(rows_UD)

    def pack(self, dtype: torch.dtype) -> None:
        """Pack its own weights for native decoding on a CPU, in this type."""
        if self.kind == "target":
            return
        count = len(self.own) if self.kind == "own" else 1
        self._packed = [
            functools.partial(linear, weight=packed(self._weight(j), dtype), outputs=self.outputs)
            for j in range(count)
        ]

    def forward(self, states_nC: Tensor, j: int = 0) -> Tensor:
        """logits_nU of draft position j (0-based)."""
        if self.kind == "target":
            assert self._borrowed is not None, "bind comes first"
            return self._borrowed(states_nC.to(self._borrowed_dtype))
        if self._packed:
            return self._packed[min(j, len(self._packed) - 1)](states_nC)
        return F.linear(states_nC, self._weight(j))

    def unembedding_weight(self, j: int) -> Tensor | None:
        """The trained parameter that `forward` multiplies with, if that is all it does."""
        if self.kind == "target" or (self.kind == "tied" and self.vocabulary_U is not None):
            return None
        return self._weight(j)

    def _weight(self, j: int) -> Tensor:
        if self.kind == "own":
            own: Any = self.own[min(j, len(self.own) - 1)]
            weight_UC: Tensor = own.weight
            return weight_UC
        assert self._tied.value is not None
        embedding_VC = self._tied.value.weight
        return embedding_VC if self.vocabulary_U is None else embedding_VC[self.vocabulary_U]
