"""A smaller language model as the drafter, with a cache of its own.

The original setting of speculative decoding (Leviathan et al., arXiv 2211.17192; Chen et al.,
arXiv 2302.01318): any Llama that shares the target's tokenizer.
"""

from __future__ import annotations

from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.models.fused import FusedLlama
from litdraft.models.llama import Llama, LlamaConfig
from litdraft.models.tokenizer import Tokenizer, open_tokenizer, same_tokens
from litdraft.models.weights import load_llama, open_checkpoint
from litdraft.protocols import Context, Drafter, Lesson, Proposal, Seen, TargetSpec, Warp
from litdraft.sampling import choose


@dataclass
class State:
    """The drafter's cache; it reads the prompt once."""

    cache: Any  # of the model that made it
    prompted: bool = False


class Pretrained(Drafter):
    """A native Llama: a checkpoint (`path`), or a fresh one of a given `shape` to be trained.

    Between rounds its cache lacks one token, the unread one, or two after a full acceptance,
    because the last draft was proposed and not read. So a proposal's first pass reads up to two.
    """

    def __init__(
        self,
        spec: TargetSpec | None = None,
        path: str | Path | None = None,
        shape: dict[str, Any] | None = None,
    ) -> None:
        super().__init__()
        if (path is None) == (shape is None):
            raise UserError(
                "drafter=pretrained needs either drafter.path=CHECKPOINT or drafter.shape.*"
            )
        self.path = None if path is None else Path(path).expanduser()
        if shape is not None:
            model = Llama(config_of(shape))
            model.reset_parameters()
        else:
            assert path is not None
            model = load_llama(open_checkpoint(path))
        self.model: Any = model  # or its fused twin
        size = self.model.config.vocabulary
        if spec is not None and size != spec.vocabulary:
            raise UserError(
                f"{path or 'drafter.shape'} has {size} tokens, but {spec.name} has "
                f"{spec.vocabulary}: a drafter must share the target's tokenizer"
            )

    def check_tokenizer(self, tokenizer: Tokenizer) -> None:
        """UserError if a tokenizer beside the checkpoint disagrees with the target's."""
        if self.path is None or not self.path.is_dir():
            return
        if not any((self.path / name).exists() for name in ("tokenizer.model", "tokenizer.json")):
            return
        differs = same_tokens(open_tokenizer(self.path), tokenizer)
        if differs is not None:
            raise UserError(
                f"{self.path} spells token {differs} otherwise than the target does: give a "
                "drafter with the target's tokenizer"
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
        one_B = torch.ones_like(lacking_B)
        tokens: list[Tensor] = []
        probs: list[Tensor] = []
        for j in range(k):
            if j > 0:
                hidden_BD = self.model.read(tokens[-1][:, None], cache)[0][:, 0]
                cache.keep(one_B)
            token_B, probs_BV = choose(self.unembed(hidden_BD, j), warp, uniforms_BK[:, j])
            tokens.append(token_B)
            if probs_BV is not None:
                probs.append(probs_BV)
        return Proposal(torch.stack(tokens, 1), torch.stack(probs, 1) if probs else None)

    def states(self, lesson: Lesson) -> Tensor:
        """states_BS1C: a language model's state does not depend on where a round began."""
        hidden_BSD: Tensor = self.model.read(lesson.tokens_BT[:, :-1], start_BP=lesson.start_BS)[0]
        return hidden_BSD[:, :, None]

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        logits_nV: Tensor = self.model.unembed(states_nC)
        return logits_nV


def config_of(shape: dict[str, Any]) -> LlamaConfig:
    """The Llama that drafter.shape describes; UserError if that is none."""
    known = fields(LlamaConfig)
    unknown = sorted(shape.keys() - {field.name for field in known})
    if unknown:
        names = ", ".join(field.name for field in known)
        raise UserError(f"drafter.shape has {', '.join(unknown)}, but a Llama has only {names}")
    for size in (field.name for field in known if field.default is MISSING):
        given = shape.get(size)
        if type(given) is not int or given < 1:
            raise UserError(f"drafter.shape.{size} is {given}, but must be a whole number above 0")
    config = LlamaConfig(**shape)
    if config.heads % config.kv_heads or config.head_width % 2:
        raise UserError(
            f"drafter.shape has heads={config.heads}, kv_heads={config.kv_heads}, "
            f"head_width={config.head_width}: kv_heads must divide heads, and heads be evenly wide"
        )
    return config
