"""Drafting one token after the other, and starting from where the target stands."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from litdraft.drafters.parts.correction import Correction
from litdraft.drafters.parts.head import Head
from litdraft.native.build import loaded
from litdraft.protocols import (
    Context,
    Needs,
    Observation,
    Proposal,
    Target,
    Trainable,
    TrainingBatch,
)
from litdraft.sampling import Sampling, choose


class Stepwise(Trainable):
    """A family that reads one token a step: the unread one, then each of its drafts."""

    look: int  # the last known tokens that `start` asks for, where it keeps nothing of earlier ones

    @abstractmethod
    def start(self, state: Any, context: Context) -> Any:
        """A memory of everything before the unread token, for `step` to change."""

    @abstractmethod
    def step(self, memory: Any, token_n: Tensor, j: int) -> Tensor:
        """Read a token; states_nC that predict the next, which is draft j (0-based)."""

    def remember(self, state: Any, memory: Any) -> None:
        """Keep of a proposal's memory what the next one starts from."""
        return None

    def propose(
        self, state: Any, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        return self.drafted(self.start(state, context), context, k, sampling, uniforms_BK)

    def drafted(
        self, memory: Any, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        """K steps from a memory."""
        token_B = context.unread_B1()[:, 0]
        drafts = Drafts(self.vocabulary_U)
        for j in range(k):
            logits_BU = self.unembed(self.step(memory, token_B, j), j)
            token_B = drafts.add(logits_BU, sampling, uniforms_BK[:, j])
        return drafts.proposal()

    def prepare_for_decoding(self, dtype: torch.dtype, native: bool) -> None:
        if not native:
            return
        for part in self.modules():
            if isinstance(part, Head | Correction):
                part.pack(dtype)


class Headed(Stepwise):
    """A family whose states one `head` turns into logits."""

    head: Head

    @property
    def vocabulary_U(self) -> Tensor | None:
        return self.head.vocabulary_U

    def learn_vocabulary(self, counts_V: Tensor) -> None:
        self.head.learn(counts_V)
        self.head.bind(self.target)

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        """logits_nU of the head."""
        logits_nU: Tensor = self.head(states_nC, j)
        return logits_nU

    def unembedding_weight(self, j: int) -> Tensor | None:
        return self.head.unembedding_weight(j)


class Drafts:
    """Tokens drawn so far, and what they were drawn from."""

    def __init__(self, vocabulary_U: Tensor | None) -> None:
        self.vocabulary_U = vocabulary_U
        self._tokens: list[Tensor] = []
        self._probs: list[Tensor] = []

    def add(self, logits_BU: Tensor, sampling: Sampling, uniforms_B: Tensor) -> Tensor:
        """Draw the next draft, token_B of the target's."""
        token_B, probs_BU = choose(logits_BU, sampling, uniforms_B)
        if self.vocabulary_U is not None:
            token_B = self.vocabulary_U[token_B]
        self._tokens.append(token_B)
        if probs_BU is not None:
            self._probs.append(probs_BU)
        return token_B

    def proposal(self) -> Proposal:
        probs_BNU = torch.stack(self._probs, 1) if self._probs else None
        return Proposal(torch.stack(self._tokens, 1), probs_BNU, vocabulary_U=self.vocabulary_U)


@dataclass
class HiddenState:
    """The target's hidden state at the last token it has read: where a draft starts."""

    hidden_BD: Tensor


class Unrolled(Headed):
    """Unrolled from the target's last hidden state h_t; keeps nothing else between rounds."""

    needs = Needs(hidden=True)
    scale: float  # by which the target's embeddings have a size of one; set by `bind`

    @abstractmethod
    def begin(self, hidden_nD: Tensor) -> Any:
        """The memory of a draft that starts at these hidden states."""

    def bind(self, target: Target) -> None:
        """Embeddings are read at a scale of one, whatever the target's."""
        super().bind(target)
        self.head.bind(target)
        some = torch.arange(min(target.spec.vocabulary, 4096), device=target.device)
        size = target.embed(some).float().square().mean().sqrt()
        self.scale = 1.0 / max(float(size), 1e-8)

    def embedded(self, token_n: Tensor, like: Tensor) -> Tensor:
        """The target's embeddings at a scale of one, in the type of `like`."""
        embedded_nD: Tensor = self.target.embed(token_n).to(like.dtype)
        return embedded_nD * self.scale

    def allocate(self, rows: int, capacity: int, k: int) -> HiddenState:
        width = self.target.spec.width
        return HiddenState(next(self.parameters()).new_zeros(rows, width))

    def observe(self, state: HiddenState, observation: Observation, context: Context) -> None:
        floats = observation.hidden_BPD.dtype == state.hidden_BD.dtype == torch.float32
        if floats and loaded(
            observation.hidden_BPD
        ):  # one call instead of eight, the same to the bit
            torch.ops.litdraft.last_hidden.default(
                observation.hidden_BPD.contiguous(), observation.count_B, state.hidden_BD
            )
            return
        read_B1 = (observation.count_B > 0)[:, None]
        last_BD = observation.last_hidden_BD().to(state.hidden_BD.dtype)
        torch.where(read_B1, last_BD, state.hidden_BD, out=state.hidden_BD)

    def start(self, state: HiddenState, context: Context) -> Any:
        return self.begin(state.hidden_BD)

    def starts(self, batch: TrainingBatch, row_n: Tensor, start_n: Tensor) -> Any:
        """The memory of drafts that start at some places of a text."""
        assert batch.hidden_BSD is not None
        return self.begin(batch.hidden_BSD[row_n, start_n].to(next(self.parameters()).dtype))

    def states(self, batch: TrainingBatch) -> Tensor:
        """states_BSKC, unrolled from every start that a trained place follows within k steps: where
        prompts are long and answers short, that is a small part of the text."""
        rows, places = batch.trained_BS.shape
        row_n, start_n = starts_before(batch.trained_BS, batch.k).nonzero().unbind(1)
        memory = self.starts(batch, row_n, start_n)
        place_nK = start_n[:, None] + torch.arange(1, batch.k + 1, device=start_n.device)
        token_nK = batch.tokens_BT[row_n[:, None], place_nK.clamp_max(places)]
        steps = [self.step(memory, token_n, j) for j, token_n in enumerate(token_nK.unbind(1))]
        states_nKC = torch.stack(steps, 1)
        # Steps beyond the text's end land in places that are cut off again.
        columns_K = torch.arange(batch.k, device=start_n.device)
        states_BSKC = states_nKC.new_zeros(rows, places + batch.k, *states_nKC.shape[1:])
        states_BSKC = states_BSKC.index_put((row_n[:, None], place_nK, columns_K), states_nKC)
        return states_BSKC[:, :places]


def starts_before(trained_BS: Tensor, k: int) -> Tensor:
    """started_BS: whether a trained place stands one to k places behind."""
    behind_BS = F.pad(trained_BS[:, 1:], (0, k))
    return behind_BS.unfold(1, k, 1).any(-1)[:, : trained_BS.shape[1]]
