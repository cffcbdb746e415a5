"""What two tokenizers have in common."""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.models.pieces import Tokenizer, spelled
from litdraft.models.tiktoken import letters

BYTES = {letter: byte for byte, letter in enumerate(letters())}


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
    known = {_bytes(mine, token): token for token in range(mine.size)}
    pieces = (_bytes(theirs, token) for token in range(min(theirs.size, vocabulary)))
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


def _bytes(tokenizer: Tokenizer, token: int) -> bytes | None:
    """What a piece spells, however its tokenizer writes spaces and bytes; None for special ones."""
    piece = spelled(tokenizer, token)
    if piece is None or tokenizer.special(token):
        return None
    if tokenizer.letters:
        return bytes(BYTES[letter] for letter in piece) if set(piece) <= BYTES.keys() else None
    if re.fullmatch("<0x[0-9A-F]{2}>", piece):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()
