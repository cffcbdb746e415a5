"""A language model that drafts, with a cache of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from litdraft.drafters.parts.stepwise import Drafts
from litdraft.errors import UserError
from litdraft.networks.fused_llama import FusedLlama
from litdraft.networks.llama import Llama
from litdraft.networks.t5 import T5
from litdraft.protocols import (
    Context,
    EncoderDecoderLayout,
    Observation,
    Proposal,
    Target,
    Trainable,
    TrainingBatch,
    encoder_kwargs,
)
from litdraft.sampling import Sampling
from litdraft.tokenizers.intersection import SharedVocabulary


@dataclass
class CachedState:
    """The drafter's cache; it reads the prompt once."""

    cache: Any  # of the model that made it
    prompted: bool = False


class Cached(Trainable):
    """Between rounds the cache lacks one token, the unread one, or two after a full acceptance,
    because the last draft was proposed and not read. So a proposal's first pass reads up to two.
    """

    input_V: Tensor | None  # what it reads for each of the target's tokens, where ids differ
    drafter_U: Tensor | None  # its own ids of the tokens that it can draft
    target_U: Tensor | None  # the target's ids of these

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model: Any = model  # or its fused twin
        for name in SharedVocabulary._fields:
            self.register_buffer(name, None, persistent=False)

    def share(self, shared: SharedVocabulary) -> None:
        """Read and draft by the target's ids."""
        device = next(self.parameters()).device
        for name, ids in shared._asdict().items():
            setattr(self, name, ids.to(device))

    @property
    def vocabulary_U(self) -> Tensor | None:
        return self.target_U

    @property
    def encoder_decoder(self) -> EncoderDecoderLayout | None:
        return self.model.config.encoder_decoder if isinstance(self.model, T5) else None

    def read(
        self,
        tokens_BP: Tensor,
        cache: Any = None,
        start_BP: Tensor | None = None,
        prompt_B: Tensor | None = None,
    ) -> Tensor:
        """hidden_BPD of the target's tokens."""
        if self.input_V is not None:
            tokens_BP = self.input_V[tokens_BP]
        beside = encoder_kwargs(self.encoder_decoder, start_BP, prompt_B)
        hidden_BPD: Tensor = self.model.forward(tokens_BP, cache, **beside)[0]
        return hidden_BPD

    def bind(self, target: Target) -> None:
        """UserError if it reads sources and the target has none, or longer ones."""
        mine, theirs = self.encoder_decoder, target.spec.encoder_decoder
        if mine is not None and theirs is None:
            raise UserError(
                f"drafter={self.name} reads a source by an encoder, but {target.spec.name} has "
                "none: choose target=seq2seq, or another drafter"
            )
        if mine is not None and theirs is not None and mine.limit < theirs.limit:
            raise UserError(
                f"drafter={self.name} reads sources of up to {mine.limit} tokens, but "
                f"{target.spec.name} of up to {theirs.limit}: give target.context={mine.limit}"
            )
        super().bind(target)

    def prepare(self, counts_V: Callable[[], Tensor]) -> None:
        """It drafts what it shares with the target, whatever the text."""

    def prepare_for_decoding(self, dtype: torch.dtype, native: bool) -> None:
        if native:
            if isinstance(self.model, Llama):
                self.model = FusedLlama(self.model.to(dtype))
            return
        self.model.to(dtype)
        if isinstance(self.model, Llama):  # its tables have the weights' type
            self.model.reset_buffers()

    def allocate(self, rows: int, capacity: int, k: int) -> CachedState:
        context = self.model.config.context
        if capacity > context:
            raise UserError(
                f"{capacity} positions are needed, but the drafter has a context of {context}: "
                "shorten the prompt or lower max_new_tokens"
            )
        return CachedState(self.model.allocate(rows, capacity))

    def observe(self, state: CachedState, observation: Observation, context: Context) -> None:
        """Read the prompt; after a round only forget what was rejected."""
        cache = state.cache
        if not state.prompted:
            self.read(observation.tokens_BP, cache, prompt_B=context.prompt_B)
            cache.keep(observation.count_B)
            state.prompted = True
        torch.minimum(cache.length_B, context.length_B - 1, out=cache.length_B)

    def propose(
        self, state: CachedState, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        cache = state.cache
        lacking_B = context.length_B - cache.length_B
        slots_B2 = cache.length_B[:, None] + torch.arange(2, device=cache.length_B.device)
        hidden_B2D = self.read(context.tokens_BT.gather(1, slots_B2), cache)
        cache.keep(lacking_B)
        last_B1D = (lacking_B - 1)[:, None, None].expand(-1, 1, hidden_B2D.shape[2])
        hidden_BD = hidden_B2D.gather(1, last_B1D)[:, 0]
        one_B, drafts = torch.ones_like(lacking_B), Drafts(self.vocabulary_U)
        for j in range(k):
            token_B = drafts.add(self.unembed(hidden_BD, j), sampling, uniforms_BK[:, j])
            if j < k - 1:
                hidden_BD = self.read(token_B[:, None], cache)[:, 0]
                cache.keep(one_B)
        return drafts.proposal()

    def states(self, batch: TrainingBatch) -> Tensor:
        """states_BS1C: a language model's state does not depend on where a round began."""
        tokens_BS = batch.tokens_BT[:, :-1]
        return self.read(tokens_BS, None, batch.start_BS, batch.prompt_B)[:, :, None]

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        logits_nU: Tensor = self.model.unembed(states_nC)
        return logits_nU if self.drafter_U is None else logits_nU[:, self.drafter_U]
