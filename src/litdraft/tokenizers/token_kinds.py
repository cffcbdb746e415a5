"""What kind of text each token is, by its piece alone: words, what goes on a word, punctuation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import category

import torch
from torch import Tensor

from litdraft.tokenizers.base import Tokenizer, bytes_of

KINDS = ("word", "suffix", "punctuation", "digit", "newline", "space", "byte", "other")
WORD, SUFFIX, PUNCTUATION, DIGIT, NEWLINE, SPACE, BYTE, OTHER = range(len(KINDS))
JOINTS = "'’-"  # what may stand between the letters of one word


@dataclass(frozen=True)
class Kinds:
    """kind_V is the place in KINDS of each token's kind, joins_V whether a word may go on behind
    it: it ends with a letter, a digit, an apostrophe or a hyphen, or is part of a letter.

    word: letters behind a space. suffix: letters without one. digit: digits alone, with a space or
    without, and so is punctuation. newline and space: nothing else. byte: a part of a letter.
    other: special tokens, and pieces that mix letters with anything but apostrophes and hyphens.
    """

    kind_V: Tensor
    joins_V: Tensor

    @classmethod
    def of(cls, tokenizer: Tokenizer, vocabulary: int | None = None) -> Kinds:
        """`vocabulary` is how many rows the model has, spare ones included."""
        tokens = range(tokenizer.size if vocabulary is None else vocabulary)
        kinds, joins = [], []
        for token in tokens:
            text = text_of(tokenizer, token)
            part = text is None and bytes_of(tokenizer, token) is not None
            kinds.append(BYTE if part else kind(text))
            joins.append(part if text is None else _joins(text))
        return cls(torch.tensor(kinds), torch.tensor(joins))

    def behind(self, before_n: Tensor, token_n: Tensor) -> Tensor:
        """kind_n of tokens where they stand: letters without a space begin a word, where what is
        before them ends none (a quotation mark, a newline, a space of its own)."""
        kind_n = self.kind_V[token_n]
        begins_n = (kind_n == SUFFIX) & ~self.joins_V[before_n]
        return kind_n.masked_fill(begins_n, WORD)

    def suffixes(self) -> list[int]:
        """Ids of all tokens that can go on a word."""
        ids: list[int] = (self.kind_V == SUFFIX).nonzero()[:, 0].tolist()
        return ids


def text_of(tokenizer: Tokenizer, token: int) -> str | None:
    """What a token spells, its spaces included; None for special tokens and parts of letters."""
    spelling = bytes_of(tokenizer, token)
    try:
        return None if spelling is None else spelling.decode()
    except UnicodeDecodeError:
        return None


def kind(text: str | None) -> int:
    """The kind of what a token spells."""
    if not text:
        return OTHER
    core = text.strip()
    if not core:
        return NEWLINE if "\n" in text or "\r" in text else SPACE
    sorts = set(_sorts(core))
    if sorts <= {"letter", "joint"} and "letter" in sorts:
        return WORD if text[0].isspace() else SUFFIX
    if sorts == {"digit"}:
        return DIGIT
    return PUNCTUATION if sorts <= {"mark", "joint"} else OTHER


def _sorts(text: str) -> Iterator[str]:
    for letter in text:
        if letter in JOINTS:
            yield "joint"
        else:  # a vowel sign is a letter here: it belongs to one
            yield {"L": "letter", "M": "letter", "N": "digit"}.get(category(letter)[0], "mark")


def _joins(text: str) -> bool:
    """An opening quotation mark has a space before it, and joins nothing."""
    return text[-1:].isalnum() or (text[-1:] in JOINTS and not text[:1].isspace())
