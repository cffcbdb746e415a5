"""What proposes tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from litdraft.errors import UserError
from litdraft.protocols.batch import Teacher, TrainingBatch
from litdraft.protocols.context import Context, Observation
from litdraft.protocols.proposal import Proposal, vocabulary_index
from litdraft.protocols.target import EncoderDecoderLayout, Target
from litdraft.sampling import Sampling


@dataclass(frozen=True)
class Needs:
    """What a drafter asks of the target beside tokens."""

    hidden: bool = False
    taps: tuple[int, ...] = ()


class Drafter(nn.Module, ABC):
    """What proposes tokens. A family implements `propose`, and `observe` if it holds state.

    A trainable family also implements `states` and, unless it uses the target's frozen head,
    `unembed`; on the same tokens `states` equals what `propose` computes (a test per family).
    Attributes set by `bind` stay outside the module registry: the target is never saved, moved
    or trained with the drafter.
    """

    needs: Needs = Needs()
    confident: bool = False  # says how sure it is, and can be told by a gate when to stop
    counted: bool = False  # learns by counting its training text once, not by gradients

    @property
    def name(self) -> str:
        """The family's, as its file and its choice on the command line are called."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def vocabulary_U(self) -> Tensor | None:
        """The tokens it can draft, ascending; None for all."""
        return None

    @property
    def encoder_decoder(self) -> EncoderDecoderLayout | None:
        """How it lays out its text, where it is an encoder-decoder; a target's rows are the
        target's own."""
        return None

    @property
    def most_drafts(self) -> int | None:
        """The most tokens it can draft; None where there is no limit."""
        return None

    def check_length(self, k: int) -> None:
        """UserError if it cannot draft k tokens."""
        if self.most_drafts is not None and k > self.most_drafts:
            raise UserError(
                f"k={k} was given, but this drafter={self.name} was made to "
                f"draft {self.most_drafts}: give a k up to that, or train another one"
            )

    def set_tokenizer(self, tokenizer: Any) -> None:
        """Hear of the target's tokenizer (`models.tokenizer`), where a family has one of its own;
        UserError if they do not go together."""
        return None

    def learn_vocabulary(self, counts_V: Tensor) -> None:
        """Which tokens to draft, from how often each stands in a text."""
        return None

    def prepare(self, counts_V: Callable[[], Tensor]) -> None:
        """Before a training that starts anew, already bound: take over what the target or the text
        gives. counts_V tells how often each token stands in the training text."""
        if self.vocabulary_U is not None:
            self.learn_vocabulary(counts_V())

    def count(self, texts: Iterable[Tensor]) -> None:
        """Learn from whole texts, tokens_T each: what `counted` families do instead of training."""
        raise NotImplementedError(f"{type(self).__name__} does not learn by counting")

    def reset(self) -> None:
        """Lose what earlier decoding taught, where a family remembers: measurements begin so."""
        return None

    def fuse(self, dtype: torch.dtype) -> None:
        """Make ready for decoding on a CPU beside a fused target, with weights of this type: what a
        family can do faster by native operations. The same proposals up to rounding."""
        return None

    def compute_in(self, dtype: torch.dtype) -> None:
        """Make ready for decoding beside a target of this type that is not fused: what a family
        that is a large model does in the same type. The same proposals up to rounding."""
        return None

    def bind(self, target: Target) -> None:
        """Remember the target whose embedding and unembedding this drafter may borrow. UserError
        if that has not the layers it taps."""
        beyond = [tap for tap in self.needs.taps if tap > target.spec.layers]
        if beyond:
            raise UserError(
                f"drafter={self.name} taps layer {beyond[0]}, but {target.spec.name} has "
                f"{target.spec.layers}: tap others, or choose another target"
            )
        self.__dict__["target"] = target

    def allocate(self, rows: int, capacity: int, k: int) -> Any:
        """The state of `rows` rows, for a loop that drafts k; None for a family without state."""
        return None

    def observe(self, state: Any, observation: Observation, context: Context) -> None:
        """Take in what was read and kept; the same act for the prompt and for every round."""
        return None

    @abstractmethod
    def propose(
        self, state: Any, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        """Draft k tokens behind each row's unread token, drawing with the uniforms given."""

    def states(self, batch: TrainingBatch) -> Tensor:
        """Teacher-forced states_BSKC: [s, j] predicts token s + 1 in the round begun at s - j.

        K may be 1 for a family whose state at s does not depend on where the round began.
        Entries with s < j belong to no round and are never read.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be trained: it has no states")

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        """logits_nU of draft position j (0-based); by default through the target's frozen head."""
        logits: Tensor = self.__dict__["target"].unembed(states_nC)
        return logits

    def unembedding_weight(self, j: int) -> Tensor | None:
        """weight_UC, where `unembed` multiplies with this trained parameter and does nothing else:
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
        """draft_probs_BSK: how likely this drafter was to draft the token that the text has.

        Entries with s < j belong to no round and are zero. By default from `states`, one text
        at a time so that logits stay small; a family without states says it in its own way.
        """
        states_BSKC, labels_BS = self.states(batch), batch.tokens_BT[:, 1:]
        rows, places, columns = states_BSKC.shape[:3]
        probs_BSK = states_BSKC.new_zeros(rows, places, batch.k)
        place_BS = vocabulary_index(self.vocabulary_U, labels_BS)
        for row in range(rows):
            place_S1 = place_BS[row, :, None]
            for j in range(batch.k):
                if j < columns:  # where there is one, it serves every draft position
                    probs_SU = sampling.probs(self.unembed(states_BSKC[row, :, j], j))
                    chosen_S1 = probs_SU.gather(1, place_S1.clamp_min(0))
                    chosen_S = torch.where(place_S1 < 0, 0.0, chosen_S1)[:, 0]
                probs_BSK[row, j + 1 :, j] = chosen_S[j + 1 :]
        return probs_BSK
