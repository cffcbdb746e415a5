"""From a drafter's states to the tokens it drafts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from litdraft.errors import UserError
from litdraft.protocols import Proposal, Target, TargetSpec, Warp
from litdraft.sampling import choose

KINDS = ("target", "own")


class Head(nn.Module):
    """The target's frozen unembedding or one's own, over all tokens or over the most frequent ones.

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
    ) -> None:
        """`vocabulary`: how many tokens, `auto` for a quarter of the target's, None for all."""
        super().__init__()
        size = -(-spec.vocabulary // 4) if vocabulary == "auto" else vocabulary
        known = size is None or (isinstance(size, int) and 0 < size <= spec.vocabulary)
        if kind not in KINDS or not known:
            raise UserError(
                f"head={kind}, vocabulary={vocabulary} was given: head is target or own, and "
                f"vocabulary null (all), auto (a quarter) or 1 to {spec.vocabulary}, the tokens "
                f"that {spec.name} has"
            )
        self.kind = kind
        self.inputs = spec.width if kind == "target" else width  # what states must be as wide as
        self.outputs = int(size or spec.vocabulary)  # U
        ids_U = None if size is None else torch.arange(self.outputs)
        self.register_buffer("vocabulary_U", ids_U)
        if kind == "own":
            self.own = nn.Linear(width, self.outputs, bias=False)

    def bind(self, target: Target) -> None:
        """Borrow the target's unembedding, which stays outside the module registry."""
        if self.kind == "own":
            return
        ids_U = self.vocabulary_U
        self.__dict__["borrowed"] = target.unembed if ids_U is None else target.narrowed(ids_U)
        self.__dict__["target_dtype"] = target.dtype

    def learn(self, counts_V: Tensor) -> None:
        """Draft only the tokens that stand most often in a text; for a reduced vocabulary."""
        if self.vocabulary_U is not None:
            best_U = counts_V.argsort(descending=True, stable=True)[: len(self.vocabulary_U)]
            self.vocabulary_U.copy_(best_U.sort().values)

    def forward(self, states_nC: Tensor) -> Tensor:
        """logits_nU."""
        if self.kind == "own":
            own_nU: Tensor = self.own(states_nC)
            return own_nU
        logits_nU: Tensor = self.__dict__["borrowed"](states_nC.to(self.__dict__["target_dtype"]))
        return logits_nU

    def choose(
        self, states_BC: Tensor, warp: Warp, uniforms_B: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """One draft a row: tokens_B of the target's, and probs_BU they were drawn from."""
        place_B, probs_BU = choose(self(states_BC), warp, uniforms_B)
        return place_B if self.vocabulary_U is None else self.vocabulary_U[place_B], probs_BU

    def proposal(self, tokens: Sequence[Tensor], probs: Sequence[Tensor | None]) -> Proposal:
        """What `choose` gave, draft by draft."""
        known = [some for some in probs if some is not None]
        probs_BKU = torch.stack(known, 1) if known else None
        return Proposal(torch.stack(list(tokens), 1), probs_BKU, vocabulary_U=self.vocabulary_U)
