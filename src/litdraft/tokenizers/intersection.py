"""What two tokenizers have in common."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.tokenizers.base import Tokenizer, bytes_of


class Shared(NamedTuple):
    """A drafter's view of a target's tokens.

    theirs_U, ascending, and mine_U are the target's and the drafter's ids of the tokens that both
    have; heard_V is what the drafter reads for each token of the target.
    """

    theirs_U: Tensor
    mine_U: Tensor
    heard_V: Tensor


def alike(count: int, vocabulary: int) -> Shared:
    """The first `count` ids mean the same on both sides, special tokens included; what a target of
    `vocabulary` ids has beyond them is never written."""
    same_U = torch.arange(count)
    return Shared(same_U, same_U, torch.arange(vocabulary).clamp_max(count - 1))


def shared(mine: Tokenizer, theirs: Tokenizer, vocabulary: int) -> Shared:
    """Tokens spelled alike, and the two that begin and end a text, however they are spelled.

    Drafting only these keeps decoding exact whatever the drafter reads (token-level intersection,
    arXiv 2502.05202). For a token that it lacks it reads the first of its own that spell it, or its
    first token. `vocabulary` is how many ids the target has, spare ones included.
    """
    known = {bytes_of(mine, token): token for token in range(mine.size)}
    pieces = (bytes_of(theirs, token) for token in range(min(theirs.size, vocabulary)))
    found = {t: known[piece] for t, piece in enumerate(pieces) if piece and piece in known}
    for own, other in ((mine.bos, theirs.bos), (mine.eos, theirs.eos)):
        if own is not None and other is not None:
            found[other] = own
    theirs_U = sorted(found)
    heard = [found.get(token, -1) for token in range(vocabulary)]
    for token in (t for t, read in enumerate(heard) if read < 0):
        heard[token] = next(iter(mine.encode(theirs.decode([token]), bos=False)), 0)
    mine_U = [found[token] for token in theirs_U]
    return Shared(torch.tensor(theirs_U), torch.tensor(mine_U), torch.tensor(heard))
