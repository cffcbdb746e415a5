"""Drafting within the current sentence, and saying how surely."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from litdraft.device_sync import known_empty, values_known
from litdraft.drafters.parts.confidence import Confidence
from litdraft.drafters.parts.sentence_context import Within, alone_BK
from litdraft.drafters.parts.sentence_draft import SentenceDraft
from litdraft.drafters.parts.stepwise import Stepwise
from litdraft.protocols import (
    Context,
    Counted,
    Observation,
    Proposal,
    StopRule,
    Target,
    TargetSpec,
    Teacher,
    Trainable,
    TrainingBatch,
    counts,
)
from litdraft.sampling import Sampling
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.sentence_starts import SentenceStarts

SOME = 512  # positions of a batch that certainty is learned from


@dataclass
class SentenceState:
    """The body's state."""

    body: Any
    prompted: bool = False


class Guess(NamedTuple):
    """The likeliest token at each place, its score, and where the place's sentence begins."""

    token_BS: Tensor
    score_BS: Tensor
    begin_BS: Tensor


class Sentencewise(Trainable):
    """A `body` that drafts from the tokens of the current sentence, always the likeliest token, and
    a head that says how likely the target's is the same. A draft ends behind the first token that
    begins a sentence and, if a stop rule is set, before one that does not pass it."""

    cumulative = False  # whether the rule asks for the probability that all of a draft is right
    starts: SentenceStarts

    def __init__(self, spec: TargetSpec, body: Stepwise, width: int) -> None:
        """`width` of the body's states; 0 where they are no features."""
        super().__init__()
        self.size = spec.vocabulary
        self.body, self.confidence = body, Confidence(width)
        self.confidence.requires_grad_(not counts(body))
        self.rule: StopRule | None = None
        self._native: SentenceDraft | None = None

    def set_stop_rule(self, rule: StopRule) -> None:
        """Stop drafting from now on where the rule says."""
        self.rule = rule

    @property
    def counts(self) -> bool:
        """As the body does."""
        return counts(self.body)

    def set_tokenizer(self, tokenizer: Tokenizer) -> None:
        """Learn where its sentences begin."""
        self.starts = SentenceStarts(tokenizer, self.size)

    def bind(self, target: Target) -> None:
        super().bind(target)
        self.body.bind(target)

    def prepare_for_decoding(self, dtype: torch.dtype, native: bool) -> None:
        self.body.prepare_for_decoding(dtype, native)
        if native:
            self._native = SentenceDraft.of(self.body, self.confidence, dtype)

    @property
    def vocabulary_U(self) -> Tensor | None:
        return self.body.vocabulary_U

    def learn_vocabulary(self, counts_V: Tensor) -> None:
        self.body.learn_vocabulary(counts_V)

    def count(self, texts: Iterable[Tensor]) -> None:
        """Sentences one by one, each with the first token of the next: what a draft ends with."""
        assert isinstance(self.body, Counted)
        self.body.count(part_T for text_T in texts for part_T in self._sentences(text_T))

    def _sentences(self, text_T: Tensor) -> Iterable[Tensor]:
        begins = self.starts(text_T[None].to(self._device))[0].unique().tolist()
        for begin, end in zip(begins, [*begins[1:], len(text_T)], strict=True):
            yield text_T[begin : end + 1]

    @property
    def _device(self) -> torch.device:
        device: torch.device = self.confidence.shift.device
        return device

    def allocate(self, rows: int, capacity: int, k: int) -> SentenceState:
        return SentenceState(self.body.allocate(rows, capacity, k))

    def observe(self, state: SentenceState, observation: Observation, context: Context) -> None:
        if not state.prompted:
            state.prompted = True
            last_B1 = (observation.count_B - 1)[:, None]
            context = Within.at(
                context, self.starts(observation.tokens_BP).gather(1, last_B1)[:, 0]
            )
        self.body.observe(state.body, observation, context)

    def propose(
        self,
        state: SentenceState,
        context: Context,
        k: int,
        sampling: Sampling,
        uniforms_BK: Tensor,
    ) -> Proposal:
        """On a CPU it stops as soon as no row passes; what is missing of k tokens is not valid."""
        within = Within.of(context, self.starts, self.body.look)
        memory, token_B = self.body.start(state.body, within), context.unread_B1()[:, 0]
        if self._native is not None and values_known(token_B):
            drafted = self._native(memory.memory_nM, token_B, k, self.rule)
            memory.behind.extend(drafted.after_BPM.unbind(1))
            tokens_BN, valid_BN, confidence_BN = (
                drafted.tokens_BN, drafted.valid_BN, drafted.confidence_BN
            )  # fmt: skip
        else:
            tokens_BN, valid_BN, confidence_BN = self._stepped(memory, token_B, k)
        self.body.remember(state.body, memory)
        if not known_empty(valid_BN):
            valid_BN = valid_BN & alone_BK(context, tokens_BN, self.starts)
        return Proposal(tokens_BN, valid_BN=valid_BN, confidence_BN=confidence_BN)

    def _stepped(self, memory: Any, token_B: Tensor, k: int) -> tuple[Tensor, Tensor, Tensor]:
        """tokens_BN, valid_BN by the stop rule, and confidence_BN."""
        rule = self.rule or StopRule(cumulative=self.cumulative)
        passing_B = torch.ones_like(token_B, dtype=torch.bool)
        log_B = torch.zeros_like(token_B, dtype=torch.float32)
        tokens, valid, confidence = [], [], []
        for j in range(k):
            states_BC = self.body.step(memory, token_B, j)
            score_B, index_B = self.confidence(states_BC, self.body.unembed(states_BC, j))
            own_B = rule.log_probs(score_B)
            if rule.threshold > 0:
                log_B = own_B + log_B if rule.cumulative else own_B
                passing_B = passing_B & rule.passes(log_B)
            token_B = self._token(index_B)
            tokens.append(token_B)
            valid.append(passing_B)
            confidence.append(own_B.exp())
            if known_empty(passing_B):
                break
        else:
            self.body.step(memory, token_B, k)
        return torch.stack(tokens, 1), torch.stack(valid, 1), torch.stack(confidence, 1)

    def _token(self, place: Tensor) -> Tensor:
        """Which of the target's it is."""
        ids_U: Tensor | None = self.vocabulary_U
        return place if ids_U is None else ids_U[place]

    def states(self, batch: TrainingBatch) -> Tensor:
        """states_BS1C: they do not depend on where a round began."""
        return self._states(batch, self._begins(batch))

    def _states(self, batch: TrainingBatch, begin_BS: Tensor) -> Tensor:
        taps_BSC = batch.taps_BSC
        if taps_BSC is not None:
            # At the last token before the sentence, where that is of the same text.
            index_BS1 = (begin_BS - 1).clamp_min(0)[..., None].expand(-1, -1, taps_BSC.shape[2])
            known_BS = begin_BS > (0 if batch.start_BS is None else batch.start_BS)
            taps_BSC = torch.where(known_BS[..., None], taps_BSC.gather(1, index_BS1), 0.0)
        return self.body.states(replace(batch, start_BS=begin_BS, taps_BSC=taps_BSC))

    def _begins(self, batch: TrainingBatch) -> Tensor:
        begin_BS: Tensor = self.starts(batch.tokens_BT[:, :-1])
        return begin_BS if batch.start_BS is None else begin_BS.maximum(batch.start_BS)

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        return self.body.unembed(states_nC, j)

    def unembedding_weight(self, j: int) -> Tensor | None:
        return self.body.unembedding_weight(j)

    def own_loss(self, states_BSKC: Tensor, batch: TrainingBatch, teacher: Teacher) -> Tensor:
        """Of its certainty, at some places of a batch: cross-entropy with the probability that the
        target gives to the likeliest token, the chance that one drawn from the target is the same.
        What drafts is taken as given."""
        chosen_n = batch.trained_BS.flatten().nonzero()[:, 0]
        chosen_n = chosen_n[:: -(-len(chosen_n) // SOME) or 1]
        if not len(chosen_n):
            return states_BSKC.new_zeros(())
        states_nC = states_BSKC.flatten(0, 1)[chosen_n, 0].detach()
        with torch.no_grad():
            logits_nU, teacher_nV = self.unembed(states_nC, 0), teacher(chosen_n)
        score_n, place_n = self.confidence(states_nC, logits_nU)
        token_n1 = self._token(place_n)[:, None]
        agreed_n = teacher_nV.float().softmax(-1).gather(1, token_n1)[:, 0]
        return F.binary_cross_entropy_with_logits(score_n.float(), agreed_n)

    @torch.no_grad()
    def guesses(self, batch: TrainingBatch) -> Guess:
        """What it would draft at every place of texts, one text at a time."""
        found, begin_BS = [], self._begins(batch)
        for states_SC in self._states(batch, begin_BS)[:, :, 0]:
            score_S, place_S = self.confidence(states_SC, self.unembed(states_SC, 0))
            found.append((self._token(place_S), score_S))
        token_BS, score_BS = (torch.stack(some) for some in zip(*found, strict=True))
        return Guess(token_BS, score_BS, begin_BS)

    @torch.no_grad()
    def likelihood(self, batch: TrainingBatch, sampling: Sampling) -> Tensor:
        """draft_probs_BSK of 0 and 1."""
        guess = self.guesses(batch)
        right_BS = guess.token_BS == batch.tokens_BT[:, 1:]
        place_S = torch.arange(right_BS.shape[1], device=right_BS.device)
        total_BS = torch.zeros_like(guess.score_BS)  # of the draft so far, by where it has come to
        probs = []
        for j in range(batch.k):
            # Drafts before this one are tokens s - j + 1 to s, and none may begin a sentence.
            kept_BS = right_BS & (place_S >= j) & (guess.begin_BS <= place_S - j)
            if self.rule is not None:
                older_BS = total_BS.roll(1, 1) if self.rule.cumulative else 0.0
                total_BS = self.rule.log_probs(guess.score_BS) + older_BS
                kept_BS = kept_BS & self.rule.passes(total_BS)
            probs.append(kept_BS.float())
        return torch.stack(probs, -1)
