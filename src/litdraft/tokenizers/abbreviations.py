"""Words that end with a full stop and no sentence, found in tokens however they are spelled."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.token_kinds import text_of

INITIALS = "ABCDEFGHJKLMNOPQRSTUVWXYZ"  # which an I seldom is
WORDS = (
    "Mr", "Mrs", "Ms", "Dr", "St", "Mt", "Messrs", "Mme", "Mlle", "Prof", "Rev", "Hon", "Capt",
    "Col", "Gen", "Lieut", "Sgt", "Esq", "Jr", "Sr", "Chap", "Vol", "viz", "vs", "cf",
)  # fmt: skip
LAST = "eg"  # of i.e. and e.g.
CLOSING = "\"'”’»)]"  # what may stand between a stop and the space behind it
CLOSES = rf"[{re.escape(CLOSING)}]"
DOTTED = re.compile(rf"(.*)\.{CLOSES}*(?:\Z| .*)", re.DOTALL)
LETTERS = re.compile(r"[^\W\d_]*\Z")
PART = "\0"  # a part of a letter that no abbreviation has
FACTOR = 0x9E3779B97F4A7C15  # of the polynomial that numbers words: odd, and not small


class Abbreviations(nn.Module):
    """A word is numbered by its letters modulo 2^64, so that the numbers of its parts give its own,
    whatever pieces a tokenizer cuts it into. Tables over the vocabulary follow the module to its
    device and are not saved with it.

    stem_V numbers the letters right before a piece's full stop, tail_V those that a piece ends
    with; a power is FACTOR to the number of those letters; alone says that nothing stands before
    them, so that the word may have begun in an earlier piece.
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
        """`vocabulary` is how many rows the model has, spare ones included."""
        super().__init__()
        tokens = range(tokenizer.size if vocabulary is None else vocabulary)
        texts = [_letters_of(tokenizer, token) for token in tokens]
        stops = [DOTTED.fullmatch(text) for text in texts]
        self._keep("dotted_V", (stop is not None for stop in stops))
        for name, some in (("stem", [stop[1] if stop else " " for stop in stops]), ("tail", texts)):
            words = [_ending(text) for text in some]
            self._keep(f"{name}_V", map(number, words))
            self._keep(f"{name}_power_V", (_signed(FACTOR ** len(word)) for word in words))
            self._keep(f"{name}_alone_V", map(str.__eq__, words, some))
        self._keep("known", sorted(map(number, (*INITIALS, *WORDS, *LAST))))

    def _keep(self, name: str, values: Iterable[bool | int]) -> None:
        self.register_buffer(name, torch.tensor(list(values)), persistent=False)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """found_BT: whether the full stop in each token is an abbreviation's. Rows begin at their
        first column; nothing here waits for the device."""
        number_BT, power_BT = self.stem_V[tokens_BT], self.stem_power_V[tokens_BT]
        open_BT = self.stem_alone_V[tokens_BT]
        place_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        for back in range(1, max(map(len, WORDS)) + 2):  # and what stands before the word
            before_BT = shifted(tokens_BT, back)
            open_BT = open_BT & (place_T >= back)
            number_BT = number_BT + self.tail_V[before_BT] * power_BT * open_BT
            power_BT = power_BT * self.tail_power_V[before_BT]
            open_BT = open_BT & self.tail_alone_V[before_BT]
        at_BT = torch.searchsorted(self.known, number_BT).clamp_max(len(self.known) - 1)
        return self.dotted_V[tokens_BT] & (self.known[at_BT] == number_BT) & ~open_BT


def number(word: str) -> int:
    """A word as a polynomial in FACTOR, the last letter's power 0."""
    found = 0
    for letter in word:
        found = found * FACTOR + ord(letter) + 1
    return _signed(found)


def shifted(x_BT: Tensor, by: int) -> Tensor:
    """What stands `by` places before; zeros at the row's beginning."""
    return F.pad(x_BT, (by, 0))[:, : x_BT.shape[1]]


def _letters_of(tokenizer: Tokenizer, token: int) -> str:
    text = text_of(tokenizer, token)
    if text is not None:
        return text
    return " " if tokenizer.special(token) else PART


def _ending(text: str) -> str:
    """The letters that a text ends with."""
    found = LETTERS.search(text)
    return text if text == PART else found[0] if found else ""


def _signed(whole: int) -> int:
    """What 64 bits keep of it."""
    return (whole + 2**63) % 2**64 - 2**63
