"""Finds abbreviations, whose full stop does not end a sentence, in tokens."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.token_kinds import text_of

INITIALS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"  # without I, which is mostly a word
WORDS = (
    "Mr", "Mrs", "Ms", "Dr", "St", "Mt", "Messrs", "Mme", "Mlle", "Prof", "Rev", "Hon", "Capt",
    "Col", "Gen", "Lieut", "Sgt", "Esq", "Jr", "Sr", "Chap", "Vol", "viz", "vs", "cf",
)  # fmt: skip
LAST = "eg"  # of i.e. and e.g.
CLOSING = "\"'”’»)]"  # allowed between a full stop and the space after it
CLOSES = rf"[{re.escape(CLOSING)}]"
DOTTED = re.compile(rf"(.*)\.{CLOSES}*(?:\Z| .*)", re.DOTALL)
LETTERS = re.compile(r"[^\W\d_]*\Z")
PART = "\0"  # for a part of a letter, which is in no abbreviation
FACTOR = 0x9E3779B97F4A7C15  # of the polynomial hash: odd, and not small


class Abbreviations(nn.Module):
    """Words are hashed by a polynomial of their letters modulo 2^64: the hashes of its parts give a
    word's hash, however a tokenizer splits it. The tables over the vocabulary move with the
    module to its device and are not saved with it.

    stem_V: the hash of the letters right before a piece's full stop. tail_V: of the letters at a
    piece's end. power: FACTOR to the number of these letters. alone: whether the piece has nothing
    before them, so that the word may begin in an earlier piece.
    """

    dotted_V: Tensor
    stem_V: Tensor
    stem_power_V: Tensor
    stem_alone_V: Tensor
    tail_V: Tensor
    tail_power_V: Tensor
    tail_alone_V: Tensor
    known: Tensor

    def __init__(self, tokenizer: Tokenizer, vocabulary: int | None = None) -> None:
        """`vocabulary`: the model's number of rows, including spare ones."""
        super().__init__()
        tokens = range(tokenizer.size if vocabulary is None else vocabulary)
        texts = [_text_of(tokenizer, token) for token in tokens]
        stops = [DOTTED.fullmatch(text) for text in texts]
        self._table("dotted_V", (stop is not None for stop in stops))
        for name, some in (("stem", [stop[1] if stop else " " for stop in stops]), ("tail", texts)):
            words = [_ending(text) for text in some]
            self._table(f"{name}_V", map(word_hash, words))
            self._table(f"{name}_power_V", (_signed(FACTOR ** len(word)) for word in words))
            self._table(f"{name}_alone_V", map(str.__eq__, words, some))
        self._table("known", sorted(map(word_hash, (*INITIALS, *WORDS, *LAST))))

    def _table(self, name: str, values: Iterable[bool | int]) -> None:
        self.register_buffer(name, torch.tensor(list(values)), persistent=False)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """Whether each token's full stop belongs to an abbreviation, BT. Rows begin at their first
        column; nothing here waits for the device."""
        hash_BT, power_BT = self.stem_V[tokens_BT], self.stem_power_V[tokens_BT]
        open_BT = self.stem_alone_V[tokens_BT]
        position_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        for back in range(1, max(map(len, WORDS)) + 2):  # and the token before the word
            before_BT = shifted(tokens_BT, back)
            open_BT = open_BT & (position_T >= back)
            hash_BT = hash_BT + self.tail_V[before_BT] * power_BT * open_BT
            power_BT = power_BT * self.tail_power_V[before_BT]
            open_BT = open_BT & self.tail_alone_V[before_BT]
        index_BT = torch.searchsorted(self.known, hash_BT).clamp_max(len(self.known) - 1)
        return self.dotted_V[tokens_BT] & (self.known[index_BT] == hash_BT) & ~open_BT


def word_hash(word: str) -> int:
    """A polynomial in FACTOR; the last letter has power 0."""
    value = 0
    for letter in word:
        value = value * FACTOR + ord(letter) + 1
    return _signed(value)


def shifted(x_BT: Tensor, by: int) -> Tensor:
    """The value `by` positions earlier; zeros at the row's beginning."""
    return F.pad(x_BT, (by, 0))[:, : x_BT.shape[1]]


def _text_of(tokenizer: Tokenizer, token: int) -> str:
    text = text_of(tokenizer, token)
    if text is not None:
        return text
    return " " if tokenizer.special(token) else PART


def _ending(text: str) -> str:
    """The letters that a text ends with."""
    letters = LETTERS.search(text)
    return text if text == PART else letters[0] if letters else ""


def _signed(value: int) -> int:
    """The value as a signed 64-bit integer."""
    return (value + 2**63) % 2**64 - 2**63
