"""Where the sentence of each token begins, defined on tokens.

A sentence ends at a newline, at a special token, and at a stop (. ! ? …) with the closing quotation
marks and brackets after it, if a space follows and then a capital, a digit, an opening mark, or a
letter without case. So there is no end inside `3.5` and `U.S.A` (no space), in `"Yes!" he said`
(small letter) and in `Mr. Hill` (an abbreviation).

Whether a sentence begins at a token depends only on that token and the tokens before it, so the
result does not change as a text grows. A piece with the end of one sentence and the beginning of
the next belongs to the next.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import torch
from torch import Tensor, nn

from litdraft.tokenizers.abbreviations import CLOSES, Abbreviations, shifted
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.token_kinds import text_of

OPENING = "\"'“‘«„(["
STOP = re.compile(rf".*[.!?…]{CLOSES}*(?:\Z| +(.*))", re.DOTALL)
MARKS = re.compile(rf"{CLOSES}+ *")


class PieceFacts(NamedTuple):
    """What a piece means for sentences, by its text alone."""

    breaks: bool = False  # a sentence begins after it, whatever follows
    inner: bool = False  # a sentence begins inside it
    begins: bool = False  # its beginning can begin a sentence
    stops: bool = False  # it ends with a stop
    blank: bool = False  # it is only spaces
    closes: bool = False  # it is only closing marks; counts if there is no space before it
    space_before: bool = False  # it begins with a space
    space_after: bool = False  # it ends with a space


class SentenceStarts(nn.Module):
    """Tables over the vocabulary, which move with the module to its device and are not saved with
    it."""

    facts_VF: Tensor
    # Evidence for a sentence that begins after each token, and at it; 2 is enough.
    after_V: Tensor
    at_V: Tensor

    def __init__(self, tokenizer: Tokenizer, vocabulary: int | None = None) -> None:
        """`vocabulary`: the model's number of rows, including spare ones."""
        super().__init__()
        tokens = range(tokenizer.size if vocabulary is None else vocabulary)
        facts = torch.tensor([_facts(tokenizer, token) for token in tokens])
        self.register_buffer("facts_VF", facts, persistent=False)
        breaks_V, inner_V, begins_V, stops_V, blank_V, closes_V = facts.to(torch.int8).unbind(1)[:6]
        ending_V = stops_V | blank_V | closes_V  # a stop, or something allowed after one
        self.register_buffer("after_V", torch.maximum(2 * breaks_V, ending_V), persistent=False)
        self.register_buffer("at_V", torch.maximum(2 * inner_V, begins_V), persistent=False)
        self.abbreviations = Abbreviations(tokenizer, vocabulary)

    def possible(self, tokens_BT: Tensor) -> Tensor:
        """For each token but the first: whether a sentence may begin at it, by that token and the
        one before it. Fast, and mostly False."""
        return self.after_V[tokens_BT[:, :-1]] + self.at_V[tokens_BT[:, 1:]] >= 2

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """starts_BT: the position of the first token of each token's sentence. Rows begin at their
        first column; nothing here waits for the device."""
        position_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        breaks_BT, inner_BT, begins_BT, stops_BT, blank_BT, closes_BT, before_BT, after_BT = (
            self.facts_VF[tokens_BT].unbind(-1)
        )
        spaced_BT = shifted(after_BT, 1) | before_BT
        # Spaces and closing marks after a stop do not count.
        skipped_BT = blank_BT | (closes_BT & ~spaced_BT)
        last_BT = torch.where(skipped_BT, 0, position_T).cummax(1).values
        ends_BT = ~self.abbreviations(tokens_BT)
        ended_BT = (stops_BT & ends_BT).gather(1, last_BT)
        begins_BT = begins_BT & spaced_BT & shifted(ended_BT, 1)
        begins_BT |= (inner_BT & ends_BT) | shifted(breaks_BT, 1)
        return torch.where(begins_BT, position_T, 0).cummax(1).values


def _facts(tokenizer: Tokenizer, token: int) -> PieceFacts:
    text = text_of(tokenizer, token)
    if text is None:  # a part of a letter counts as a letter without case
        return PieceFacts(breaks=tokenizer.special(token), begins=not tokenizer.special(token))
    _, newline, line = text.rpartition("\n")
    if newline:
        empty = not line.strip(" ")
        return PieceFacts(breaks=empty, inner=not empty, stops=not empty and _stops(line))
    stop = STOP.fullmatch(text)
    return PieceFacts(
        inner=stop is not None and _begins(stop[1] or ""),
        begins=_begins(text.lstrip(" ")),
        stops=_stops(text),
        blank=not text.strip(" "),
        closes=MARKS.fullmatch(text) is not None,
        space_before=text.startswith(" "),
        space_after=text.endswith(" "),
    )


def _stops(text: str) -> bool:
    """Whether a sentence may end at the end of this text, ignoring spaces."""
    stop = STOP.fullmatch(text)
    return stop is not None and not stop[1]


def _begins(text: str) -> bool:
    """Whether a sentence may begin with this text."""
    first = text[:1]
    return first != "" and (first in OPENING or (first.isalnum() and not first.islower()))
