"""The part of a row that its current sentence is."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from litdraft.device_sync import known_empty
from litdraft.protocols import Context
from litdraft.tokenizers.sentence_starts import SentenceStarts

WINDOW = 32  # tokens before a place that tell whether a sentence begins there


@dataclass
class Within(Context):
    """A context that shows of every row its sentence alone, which begins at slot begin_B. One that
    began more than WINDOW tokens ago begins there."""

    begin_B: Tensor

    @classmethod
    def of(cls, context: Context, starts: SentenceStarts, look: int) -> Within:
        """The sentence of each row's unread token, for who looks at the last `look` tokens."""
        if known_empty(starts.possible(context.last_BP(look + 1))):
            return cls.at(context, (context.length_B - WINDOW).clamp_min(0))
        begin_B = starts(context.last_BP(WINDOW))[:, -1] + context.length_B - WINDOW
        return cls.at(context, begin_B.clamp_min(0))

    @classmethod
    def at(cls, context: Context, begin_B: Tensor) -> Within:
        parts = {part.name: getattr(context, part.name) for part in fields(Context)}
        return cls(**parts, begin_B=begin_B)

    def before_BP(self, count: int) -> tuple[Tensor, Tensor]:
        tokens_BP, slots_BP = super().before_BP(count)
        return tokens_BP, torch.where(slots_BP >= self.begin_B[:, None], slots_BP, -1)


def alone_BK(context: Context, tokens_BN: Tensor, starts: SentenceStarts) -> Tensor:
    """Which drafts stand behind no earlier draft that begins a sentence."""
    here_BP = torch.cat((context.unread_B1(), tokens_BN), 1)
    if known_empty(starts.possible(here_BP[:, :-1])):
        return torch.ones_like(tokens_BN, dtype=torch.bool)
    tokens_BT = torch.cat((context.last_BP(WINDOW), tokens_BN), 1)
    begin_BK = starts(tokens_BT)[:, WINDOW:]
    # The sentence of the draft before is the one of the unread token, or older.
    before_BK = torch.cat((torch.zeros_like(begin_BK[:, :1]), begin_BK[:, :-1]), 1)
    return before_BK < WINDOW
