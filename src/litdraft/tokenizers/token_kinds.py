"""The kind of text of each token, by its piece alone: word, word suffix, punctuation, ..."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from unicodedata import category

import torch
from torch import Tensor

from litdraft.tokenizers.base import Tokenizer, bytes_of

KINDS = ("word", "suffix", "punctuation", "digit", "newline", "space", "byte", "other")
WORD, SUFFIX, PUNCTUATION, DIGIT, NEWLINE, SPACE, BYTE, OTHER = range(len(KINDS))
JOINTS = "'’-"  # allowed between the letters of one word


@dataclass(frozen=True)
class TokenKinds:
    """kind_V: the index in KINDS of each token's kind. continues_V: whether a word may continue
    after the token, because it ends with a letter, a digit, an apostrophe or a hyphen, or is part
    of a letter.

    word: a space and letters. suffix: letters without a space. digit, punctuation: only these, with
    or without a space. newline, space: nothing else. byte: part of a letter. other: special tokens,
    and pieces that mix letters with anything but apostrophes and hyphens.
    """

    kind_V: Tensor
    continues_V: Tensor

    @classmethod
    def of(cls, tokenizer: Tokenizer, vocabulary: int | None = None) -> TokenKinds:
        """`vocabulary`: the model's number of rows, including spare ones."""
        tokens = range(tokenizer.size if vocabulary is None else vocabulary)
        kinds, continues = [], []
        for token in tokens:
            text = text_of(tokenizer, token)
            part = text is None and bytes_of(tokenizer, token) is not None
            kinds.append(BYTE if part else kind_of(text))
            continues.append(part if text is None else _continues(text))
        return cls(torch.tensor(kinds), torch.tensor(continues))

    def in_context(self, previous_n: Tensor, token_n: Tensor) -> Tensor:
        """kind_n of tokens, given the previous ones: letters without a space begin a word if the
        previous token does not end with one (a quotation mark, a newline, a lone space)."""
        kind_n = self.kind_V[token_n]
        begins_n = (kind_n == SUFFIX) & ~self.continues_V[previous_n]
        return kind_n.masked_fill(begins_n, WORD)

    def suffixes(self) -> list[int]:
        """The ids of all tokens that can continue a word."""
        ids: list[int] = (self.kind_V == SUFFIX).nonzero()[:, 0].tolist()
        return ids


def text_of(tokenizer: Tokenizer, token: int) -> str | None:
    """A token's text, with its spaces; None for special tokens and parts of letters."""
    text = bytes_of(tokenizer, token)
    try:
        return None if text is None else text.decode()
    except UnicodeDecodeError:
        return None


def kind_of(text: str | None) -> int:
    """The kind of a token's text."""
    if not text:
        return OTHER
    core = text.strip()
    if not core:
        return NEWLINE if "\n" in text or "\r" in text else SPACE
    classes = set(_letter_classes(core))
    if classes <= {"letter", "joint"} and "letter" in classes:
        return WORD if text[0].isspace() else SUFFIX
    if classes == {"digit"}:
        return DIGIT
    return PUNCTUATION if classes <= {"mark", "joint"} else OTHER


def _letter_classes(text: str) -> Iterator[str]:
    for letter in text:
        if letter in JOINTS:
            yield "joint"
        else:  # a vowel sign counts as a letter, because it belongs to one
            yield {"L": "letter", "M": "letter", "N": "digit"}.get(category(letter)[0], "mark")


def _continues(text: str) -> bool:
    """Whether a word may continue after the text; not after a space and a quotation mark, which
    opens a quotation."""
    return text[-1:].isalnum() or (text[-1:] in JOINTS and not text[:1].isspace())
