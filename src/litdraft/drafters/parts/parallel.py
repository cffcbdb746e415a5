"""Heads that guess all k tokens from one hidden state at once."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from litdraft.drafters.parts.correction import Correction
from litdraft.drafters.parts.head import Head
from litdraft.drafters.parts.stepwise import Drafts, HiddenState, Unrolled
from litdraft.errors import UserError
from litdraft.protocols import Context, Proposal, TargetSpec
from litdraft.sampling import Sampling


@dataclass
class Guesses:
    """What every draft position guessed by itself, and the correction's memory so far."""

    states_nKC: Tensor
    memory_nR: Tensor | None = None


class Parallel(Unrolled):
    """A family says what draft position j makes of the hidden state; j from 0 to `heads` - 1.

    `head`: target, the target's frozen unembedding for all positions; own, one for each, which
    begins as the target's. With a `correction` position j also sees draft j - 1.
    """

    def __init__(
        self,
        spec: TargetSpec,
        heads: int,
        head: str = "target",
        vocabulary: int | str | None = None,
        correction: str | None = None,
        rank: int = 64,
    ) -> None:
        super().__init__()
        if heads < 1:
            raise UserError(f"drafter.heads={heads} was given: it needs at least one")
        self.heads = heads
        self.head = Head(spec, spec.width, head, vocabulary, count=heads)
        sizes = (rank, spec.vocabulary, self.head.outputs, spec.width, spec.width)
        self.correction = None if correction is None else Correction(correction, *sizes)

    @property
    def most_drafts(self) -> int:
        return self.heads

    @abstractmethod
    def ahead(self, hidden_nD: Tensor) -> Tensor:
        """states_nKD for all draft positions, as wide as the target."""

    def prepare(self, counts_V: Callable[[], Tensor]) -> None:
        super().prepare(counts_V)
        if self.head.kind == "own":
            self.head.start_as(self.target)

    def begin(self, hidden_nD: Tensor) -> Guesses:
        memory_nR = None if self.correction is None else self.correction.begin(hidden_nD)
        return Guesses(self.ahead(hidden_nD), memory_nR)

    def step(self, memory: Guesses, token_n: Tensor, j: int) -> Tensor:
        """The guess of position j and, with a correction, what it read: states_nC side by side."""
        states_nD = memory.states_nKC[:, j]
        if self.correction is None:
            return states_nD
        memory.memory_nR = self.correction.step(memory.memory_nR, token_n, states_nD)
        return torch.cat((states_nD, memory.memory_nR), -1)

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        if self.correction is None:
            return super().unembed(states_nC, j)
        states_nD, read_nR = states_nC.split((self.head.inputs, self.correction.rank), -1)
        bias_nU: Tensor = self.correction(read_nR)
        return super().unembed(states_nD, j) + bias_nU

    def unembedding_weight(self, j: int) -> Tensor | None:
        return super().unembedding_weight(j) if self.correction is None else None

    def propose(
        self, state: HiddenState, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        """As any unrolled draft, but a head that all positions share is read once for all."""
        memory, token_B = self.begin(state.hidden_BD), context.unread_B1()[:, 0]
        states_BKD, drafts = memory.states_nKC[:, :k], Drafts(self.vocabulary_U)
        if self.head.kind == "own":
            logits_BKU = torch.stack([self.head(states_BKD[:, j], j) for j in range(k)], 1)
        else:
            logits_BKU = self.head(states_BKD)
        for j in range(k):
            logits_BU = logits_BKU[:, j]
            if self.correction is not None:
                states_BD = states_BKD[:, j]
                memory.memory_nR = self.correction.step(memory.memory_nR, token_B, states_BD)
                logits_BU = logits_BU + self.correction(memory.memory_nR)
            token_B = drafts.add(logits_BU, sampling, uniforms_BK[:, j])
        return drafts.proposal()
