"""Where the sentence of each token begins: defined once, on tokens.

A sentence ends at a newline, at a special token, and at a stop (. ! ? …), closing quotation marks
and brackets behind it included, if a space follows and then a capital, a digit, an opening mark, or
a letter that has no case. So `3.5` and `U.S.A` go on for want of a space, `"Yes!" he said` because
of the small letter, and `Mr. Hill` because an abbreviation ends no sentence.

Whether a sentence begins at a token depends on it and on tokens before it alone: what is found in a
text that is still growing stays true. A piece that holds the end of one sentence and the beginning
of the next belongs to the next.
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


class Facts(NamedTuple):
    """What a piece does to sentences, by its text alone."""

    breaks: bool = False  # a sentence begins behind it, whatever follows
    inner: bool = False  # a sentence begins inside of it
    begins: bool = False  # what it begins with can begin a sentence
    stops: bool = False  # it ends with a stop
    blank: bool = False  # it is nothing but spaces
    closes: bool = False  # it is nothing but closing marks, if no space stands before
    led: bool = False  # it begins with a space
    trailed: bool = False  # it ends with one


class SentenceStarts(nn.Module):
    """Tables over the vocabulary, which follow the module to its device and are not saved with
    it."""

    facts_VF: Tensor
    # How much speaks for a sentence that begins behind each token, and at it: 2 is enough.
    behind_V: Tensor
    at_V: Tensor

    def __init__(self, tokenizer: Tokenizer, vocabulary: int | None = None) -> None:
        """`vocabulary` is how many rows the model has, spare ones included."""
        super().__init__()
        tokens = range(tokenizer.size if vocabulary is None else vocabulary)
        facts = torch.tensor([_facts(tokenizer, token) for token in tokens])
        self.register_buffer("facts_VF", facts, persistent=False)
        breaks_V, inner_V, begins_V, stops_V, blank_V, closes_V = facts.to(torch.int8).unbind(1)[:6]
        ending_V = stops_V | blank_V | closes_V  # a stop, or what may stand behind one
        self.register_buffer("behind_V", torch.maximum(2 * breaks_V, ending_V), persistent=False)
        self.register_buffer("at_V", torch.maximum(2 * inner_V, begins_V), persistent=False)
        self.abbreviations = Abbreviations(tokenizer, vocabulary)

    def possible(self, tokens_BT: Tensor) -> Tensor:
        """possible_BT: whether a sentence may begin at each token but the first, by that token and
        the one before: soon told, and mostly no."""
        return self.behind_V[tokens_BT[:, :-1]] + self.at_V[tokens_BT[:, 1:]] >= 2

    def forward(self, tokens_BT: Tensor) -> Tensor:
        """starts_BT: the place of the first token of the sentence that each token stands in. Rows
        begin at their first column; nothing here waits for the device."""
        place_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        breaks_BT, inner_BT, begins_BT, stops_BT, blank_BT, closes_BT, led_BT, trailed_BT = (
            self.facts_VF[tokens_BT].unbind(-1)
        )
        apart_BT = shifted(trailed_BT, 1) | led_BT
        # Spaces and closing marks behind a stop leave it the last thing said.
        silent_BT = blank_BT | (closes_BT & ~apart_BT)
        said_BT = torch.where(silent_BT, 0, place_T).cummax(1).values
        ends_BT = ~self.abbreviations(tokens_BT)
        ended_BT = (stops_BT & ends_BT).gather(1, said_BT)
        begins_BT = begins_BT & apart_BT & shifted(ended_BT, 1)
        begins_BT |= (inner_BT & ends_BT) | shifted(breaks_BT, 1)
        return torch.where(begins_BT, place_T, 0).cummax(1).values


def _facts(tokenizer: Tokenizer, token: int) -> Facts:
    text = text_of(tokenizer, token)
    if text is None:  # part of a letter begins a sentence as one without case does
        return Facts(breaks=tokenizer.special(token), begins=not tokenizer.special(token))
    _, newline, line = text.rpartition("\n")
    if newline:
        empty = not line.strip(" ")
        return Facts(breaks=empty, inner=not empty, stops=not empty and _stops(line))
    stop = STOP.fullmatch(text)
    return Facts(
        inner=stop is not None and _begins(stop[1] or ""),
        begins=_begins(text.lstrip(" ")),
        stops=_stops(text),
        blank=not text.strip(" "),
        closes=MARKS.fullmatch(text) is not None,
        led=text.startswith(" "),
        trailed=text.endswith(" "),
    )


def _stops(text: str) -> bool:
    """Whether a sentence may end where this ends, spaces aside."""
    stop = STOP.fullmatch(text)
    return stop is not None and not stop[1]


def _begins(text: str) -> bool:
    """Whether a sentence may begin with this."""
    first = text[:1]
    return first != "" and (first in OPENING or (first.isalnum() and not first.islower()))
