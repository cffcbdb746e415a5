"""Where a target is almost certain of its next token: counted from its distributions.

At position s the target has read x_1..x_s and predicts x_{s+1}. Its certainty is the largest
probability of its own distribution there, at temperature 1 whatever sampling wrote the text. Kinds
are those of the *likeliest* token: it would be written instead of running the target, and nothing
else is known before the text's own token.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.protocols import Target
from litdraft.tokenizers.token_kinds import KINDS, TokenKinds

BOUNDS = (0.9, 0.95, 0.99, 0.999)
CHUNK = 256  # positions unembedded at a time
ROWS = 8  # texts read at a time


class Text(NamedTuple):
    """A text, how many of its first tokens are the prompt, and which of its tokens count."""

    tokens_T: Tensor
    prompt: int
    counted_T: Tensor


class PositionStats(NamedTuple):
    """A text that a target has read, and at the n positions that count: where they are
    (`position_n` is s, from 0), the likeliest next token and its probability."""

    tokens_T: Tensor
    position_n: Tensor
    argmax_n: Tensor
    top_n: Tensor

    @property
    def before_n(self) -> Tensor:
        """The last token read."""
        return self.tokens_T[self.position_n]

    @property
    def right_n(self) -> Tensor:
        """Whether the text continues with the likeliest token."""
        return self.tokens_T[self.position_n + 1] == self.argmax_n

    def certain_nN(self) -> Tensor:
        """Whether the largest probability reaches each of BOUNDS."""
        return self.top_n.double()[:, None] >= torch.tensor(BOUNDS, dtype=torch.float64)


@torch.inference_mode()
def position_stats(
    target: Target, texts: Sequence[Text], advance: Callable[[int], None] | None = None
) -> list[PositionStats]:
    """Every text read once; texts in which nothing counts are left out."""
    found = []
    for first in range(0, len(texts), ROWS):
        some = texts[first : first + ROWS]
        tokens_BT = torch.nn.utils.rnn.pad_sequence([text.tokens_T for text in some], True)
        prompt_B = torch.tensor([text.prompt for text in some], device=target.device)
        hidden_BSD = target.forward(
            tokens_BT[:, :-1].to(target.device), prompt_B=prompt_B
        ).hidden_BPD
        for text, hidden_SD in zip(some, hidden_BSD, strict=True):
            position_n = text.counted_T[1:].nonzero()[:, 0]
            if len(position_n):
                argmax_n, top_n = _tops(target, hidden_SD[position_n.to(target.device)])
                found.append(PositionStats(text.tokens_T, position_n, argmax_n, top_n))
        if advance:
            advance(len(some))
    return found


def _tops(target: Target, hidden_nD: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest tokens and their probabilities, a few positions unembedded at a time."""
    parts = [
        target.unembed(some_nD).float().softmax(-1).max(-1) for some_nD in hidden_nD.split(CHUNK)
    ]
    top_n, argmax_n = (torch.cat(some).cpu() for some in zip(*parts, strict=True))
    return argmax_n, top_n


@dataclass(frozen=True)
class Certainty:
    """Integer counts by kind (G, as KINDS has them) of the likeliest token: positions_G; at how
    many its probability reaches each of the N BOUNDS; at how many of those the text continues
    with that token."""

    positions_G: Tensor
    certain_GN: Tensor
    right_GN: Tensor

    @classmethod
    def of(cls, stats: Sequence[PositionStats], kinds: TokenKinds) -> Certainty:
        kind_n = torch.cat([kinds.in_context(text.before_n, text.argmax_n) for text in stats])
        certain_nN = torch.cat([text.certain_nN() for text in stats]).long()
        right_n1 = torch.cat([text.right_n for text in stats])[:, None]
        none_GN = torch.zeros(len(KINDS), len(BOUNDS), dtype=torch.long)
        return cls(
            torch.bincount(kind_n, minlength=len(KINDS)),
            none_GN.index_add(0, kind_n, certain_nN),
            none_GN.index_add(0, kind_n, certain_nN * right_n1),
        )

    @property
    def positions(self) -> int:
        return int(self.positions_G.sum())

    @property
    def share_N(self) -> Tensor:
        """Of all positions."""
        return self.certain_GN.sum(0).double() / max(self.positions, 1)
