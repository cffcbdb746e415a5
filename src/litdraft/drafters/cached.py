"""A native Llama that drafts, with a cache of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from litdraft.drafters.stepwise import Drafts
from litdraft.errors import UserError
from litdraft.models.fused import FusedLlama
from litdraft.models.llama import Llama
from litdraft.protocols import Context, Drafter, Lesson, Proposal, Seen, TargetSpec, Warp


@dataclass
class State:
    """The drafter's cache; it reads the prompt once."""

    cache: Any  # of the model that made it
    prompted: bool = False


class Cached(Drafter):
    """Between rounds the cache lacks one token, the unread one, or two after a full acceptance,
    because the last draft was proposed and not read. So a proposal's first pass reads up to two.
    """

    def __init__(self, model: Llama, spec: TargetSpec | None, name: str) -> None:
        super().__init__()
        self.model: Any = model  # or its fused twin
        size = model.config.vocabulary
        if spec is not None and size != spec.vocabulary:
            raise UserError(
                f"{name} has {size} tokens, but {spec.name} has {spec.vocabulary}: a drafter must "
                "share the target's tokenizer"
            )

    def fuse(self, dtype: torch.dtype) -> None:
        self.model = FusedLlama(self.model.to(dtype))

    def allocate(self, rows: int, room: int, k: int) -> State:
        context = self.model.config.context
        if room > context:
            raise UserError(
                f"{room} positions are needed, but the drafter has a context of {context}: "
                "shorten the prompt or lower max_new_tokens"
            )
        return State(self.model.allocate(rows, room))

    def observe(self, state: State, seen: Seen, context: Context) -> None:
        """Read the prompt; after a round only forget what was rejected."""
        cache = state.cache
        if not state.prompted:
            self.model.read(seen.tokens_BP, cache)
            cache.keep(seen.count_B)
            state.prompted = True
        torch.minimum(cache.length_B, context.length_B - 1, out=cache.length_B)

    def propose(
        self, state: State, context: Context, k: int, warp: Warp, uniforms_BK: Tensor
    ) -> Proposal:
        cache = state.cache
        lacking_B = context.length_B - cache.length_B
        slots_B2 = cache.length_B[:, None] + torch.arange(2, device=cache.length_B.device)
        hidden_B2D, _ = self.model.read(context.tokens_BT.gather(1, slots_B2), cache)
        cache.keep(lacking_B)
        last_B1D = (lacking_B - 1)[:, None, None].expand(-1, 1, hidden_B2D.shape[2])
        hidden_BD = hidden_B2D.gather(1, last_B1D)[:, 0]
        one_B, drafts = torch.ones_like(lacking_B), Drafts(None)
        for j in range(k):
            token_B = drafts.add(self.unembed(hidden_BD, j), warp, uniforms_BK[:, j])
            if j < k - 1:
                hidden_BD = self.model.read(token_B[:, None], cache)[0][:, 0]
                cache.keep(one_B)
        return drafts.proposal()

    def states(self, lesson: Lesson) -> Tensor:
        """states_BS1C: a language model's state does not depend on where a round began."""
        # Only training packs texts, and what is trained is not fused.
        packed = {} if lesson.start_BS is None else {"start_BP": lesson.start_BS}
        hidden_BSD: Tensor = self.model.read(lesson.tokens_BT[:, :-1], **packed)[0]
        return hidden_BSD[:, :, None]

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        logits_nV: Tensor = self.model.unembed(states_nC)
        return logits_nV
