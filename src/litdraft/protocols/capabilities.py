"""What only some drafters can do; checked by isinstance, never guessed."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from litdraft.errors import UserError
from litdraft.protocols.batch import Teacher, TrainingBatch
from litdraft.protocols.drafter import Drafter
from litdraft.protocols.proposal import vocabulary_index
from litdraft.protocols.target import EncoderDecoderLayout
from litdraft.sampling import Sampling


@runtime_checkable
class Replayable(Protocol):
    """Its acceptance on a text can be computed without decoding (`acceptance.replay`)."""

    def likelihood(self, batch: TrainingBatch, sampling: Sampling) -> Tensor:
        """draft_probs_BSK: how likely this drafter was to draft the token that the text has.
        Entries with s < j belong to no round and are zero."""


@runtime_checkable
class LimitedLength(Protocol):
    """It was made to draft a limited number of tokens."""

    @property
    def most_drafts(self) -> int | None:
        """The most tokens it can draft; None if there is no limit after all."""


@runtime_checkable
class ReadsSource(Protocol):
    """It is an encoder-decoder, or may be one."""

    @property
    def encoder_decoder(self) -> EncoderDecoderLayout | None:
        """How it lays out its text; None if it is none after all."""


@runtime_checkable
class Tokenized(Protocol):
    """It depends on the target's tokenizer."""

    def set_tokenizer(self, tokenizer: Any) -> None:
        """Once, right after it is built; UserError if drafter and tokenizer do not go together."""


@runtime_checkable
class Counted(Protocol):
    """It learns by counting its training text once, not by gradients."""

    @property
    def counts(self) -> bool:
        """Whether it really does: a family with an exchangeable body may."""

    def count(self, texts: Iterable[Tensor]) -> None:
        """Learn from whole texts, tokens_T each, instead of all that was counted before."""


class StopRule(NamedTuple):
    """When to stop drafting: a score's probability is sigmoid(scale x score + shift) (Platt, 1999),
    and drafting goes on while it reaches `threshold`. If `cumulative`, that must be the product
    along the draft: the probability that all of it is right so far."""

    scale: float = 1.0
    shift: float = 0.0
    threshold: float = 0.0
    cumulative: bool = False

    def log_probs(self, score: Tensor) -> Tensor:
        return F.logsigmoid(self.scale * score + self.shift)

    def passes(self, log_probs: Tensor) -> Tensor:
        return log_probs.exp() >= self.threshold


@runtime_checkable
class Confident(Protocol):
    """It estimates how likely its draft is right (`Proposal.confidence_BN`), and can stop drafting
    when unsure."""

    cumulative: bool

    def set_stop_rule(self, rule: StopRule) -> None:
        """From now on a row stops drafting at the first draft that does not pass."""

    def guesses(self, batch: TrainingBatch) -> Any:
        """Its likeliest token and the score of it at every position of texts."""


class Trainable(Drafter):
    """A drafter that learns by gradients from the target's distribution.

    On the same tokens `states` equals what `propose` computes (a test for every family).
    """

    @property
    def vocabulary_U(self) -> Tensor | None:
        """The tokens it can draft, ascending; None for all."""
        return None

    def learn_vocabulary(self, counts_V: Tensor) -> None:
        """Choose which tokens to draft, from how often each stands in a text."""
        return None

    def prepare(self, counts_V: Callable[[], Tensor]) -> None:
        """Before a training that starts anew, already bound: take over what the target or the text
        gives. counts_V is how often each token stands in the training text."""
        if self.vocabulary_U is not None:
            self.learn_vocabulary(counts_V())

    @abstractmethod
    def states(self, batch: TrainingBatch) -> Tensor:
        """Teacher-forced states_BSKC: [s, j] predicts token s + 1 in the round begun at s - j.

        K may be 1 for a family whose state at s does not depend on where the round began.
        Entries with s < j belong to no round and are never read.
        """

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        """logits_nU of draft position j (0-based); by default through the target's frozen head."""
        return self.target.unembed(states_nC)

    def unembedding_weight(self, j: int) -> Tensor | None:
        """weight_UC, if `unembed` multiplies with this trained parameter and does nothing else:
        training then needs memory for its gradient once instead of twice."""
        return None

    def own_loss(
        self, states_BSKC: Tensor, batch: TrainingBatch, teacher: Teacher
    ) -> Tensor | None:
        """The mean loss of what it learns beside its distribution, if anything. The teacher maps
        flat positions to the target's logits_nV."""
        return None

    @torch.no_grad()
    def likelihood(self, batch: TrainingBatch, sampling: Sampling) -> Tensor:
        """draft_probs_BSK (see `Replayable`), from `states`, one text at a time so that logits stay
        small."""
        states_BSKC, labels_BS = self.states(batch), batch.tokens_BT[:, 1:]
        rows, positions, columns = states_BSKC.shape[:3]
        probs_BSK = states_BSKC.new_zeros(rows, positions, batch.k)
        index_BS = vocabulary_index(self.vocabulary_U, labels_BS)
        for row in range(rows):
            index_S1 = index_BS[row, :, None]
            for j in range(batch.k):
                if j < columns:  # if there is only one, it serves every draft position
                    probs_SU = sampling.probs(self.unembed(states_BSKC[row, :, j], j))
                    chosen_S1 = probs_SU.gather(1, index_S1.clamp_min(0))
                    chosen_S = torch.where(index_S1 < 0, 0.0, chosen_S1)[:, 0]
                probs_BSK[row, j + 1 :, j] = chosen_S[j + 1 :]
        return probs_BSK


def counts(drafter: object) -> bool:
    """Whether a drafter learns by counting."""
    return isinstance(drafter, Counted) and drafter.counts


def layout_of(drafter: object) -> EncoderDecoderLayout | None:
    """How a drafter lays out its text, if it is an encoder-decoder."""
    return drafter.encoder_decoder if isinstance(drafter, ReadsSource) else None


def longest_draft(drafter: object) -> int | None:
    """The most tokens that a drafter can draft; None without a limit."""
    return drafter.most_drafts if isinstance(drafter, LimitedLength) else None


def check_length(drafter: Drafter, k: int) -> None:
    """UserError if a drafter cannot draft k tokens."""
    longest = longest_draft(drafter)
    if longest is not None and k > longest:
        raise UserError(
            f"k={k} was given, but this drafter={drafter.name} was made to "
            f"draft {longest}: give a k up to that, or train another one"
        )
