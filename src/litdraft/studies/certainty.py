"""Where a target is all but certain of its next token: pure counting from its distributions.

A position s has read x_1..x_s and predicts x_{s+1}. How certain it is, is the largest probability
of the target's own distribution there, at temperature 1 whatever the text was written with. Kinds
are those of the *likeliest* token: it is what would be written instead of running the target, and
all that is known before the text's own token is.
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
    """A text, how many of its first tokens were given, and which of its tokens count."""

    tokens_T: Tensor
    prompt: int
    counted_T: Tensor


class PositionStats(NamedTuple):
    """A text that a target has read, and at the n positions that count: where they are (`place_n`
    is s, from 0), the likeliest next token and its probability."""

    tokens_T: Tensor
    place_n: Tensor
    best_n: Tensor
    top_n: Tensor

    @property
    def before_n(self) -> Tensor:
        """The last token read."""
        return self.tokens_T[self.place_n]

    @property
    def right_n(self) -> Tensor:
        """Whether the text goes on with the likeliest token."""
        return self.tokens_T[self.place_n + 1] == self.best_n

    def sure_nN(self) -> Tensor:
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
            place_n = text.counted_T[1:].nonzero()[:, 0]
            if len(place_n):
                best_n, top_n = _tops(target, hidden_SD[place_n.to(target.device)])
                found.append(PositionStats(text.tokens_T, place_n, best_n, top_n))
        if advance:
            advance(len(some))
    return found


def _tops(target: Target, hidden_nD: Tensor) -> tuple[Tensor, Tensor]:
    """The likeliest tokens and their probabilities, a few positions unembedded at a time."""
    parts = [
        target.unembed(some_nD).float().softmax(-1).max(-1) for some_nD in hidden_nD.split(CHUNK)
    ]
    top_n, best_n = (torch.cat(some).cpu() for some in zip(*parts, strict=True))
    return best_n, top_n


@dataclass(frozen=True)
class Certainty:
    """Integer counts by kind (G, as KINDS has them) of the likeliest token: positions_G; at how
    many its probability reaches each of the N BOUNDS; at how many of those the text goes on so."""

    positions_G: Tensor
    sure_GN: Tensor
    right_GN: Tensor

    @classmethod
    def of(cls, read: Sequence[PositionStats], kinds: TokenKinds) -> Certainty:
        kind_n = torch.cat([kinds.in_context(walk.before_n, walk.best_n) for walk in read])
        sure_nN = torch.cat([walk.sure_nN() for walk in read]).long()
        right_n1 = torch.cat([walk.right_n for walk in read])[:, None]
        none_GN = torch.zeros(len(KINDS), len(BOUNDS), dtype=torch.long)
        return cls(
            torch.bincount(kind_n, minlength=len(KINDS)),
            none_GN.index_add(0, kind_n, sure_nN),
            none_GN.index_add(0, kind_n, sure_nN * right_n1),
        )

    @property
    def positions(self) -> int:
        return int(self.positions_G.sum())

    @property
    def share_N(self) -> Tensor:
        """Of all positions."""
        return self.sure_GN.sum(0).double() / max(self.positions, 1)
