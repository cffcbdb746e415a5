"""From pieces of text to a row of tokens that fits."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cached_property

from litdraft.data.rows.prompt_layout import Encoded, Layout, layout_of
from litdraft.data.sources.examples import Example
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout
from litdraft.tokenizers.load import Tokenizer

TRUNCATE = ("error", "left", "right")
SENTENCE_END = re.compile(r"(?<=[.!?][\"'’”)\]])\s+|(?<=[.!?])\s+|\n+")


@dataclass
class Cuts:
    """What did not fit: how many prompts and responses were cut, and rows left out because nothing
    of their response remained."""

    prompts: int = 0
    responses: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Encoder:
    """Encodes examples as rows of at most `length` tokens, laid out for an encoder-decoder where
    `sides` are given.

    A long piece loses sentences from its end first. Then `truncate` decides what a prompt that is
    still too long loses: error, its beginning (left), or its end (right), and with that, in a text
    that goes on, all behind it. A response that is too long always loses its end.
    """

    tokenizer: Tokenizer
    length: int
    truncate: str = "error"
    encoder_decoder: EncoderDecoderLayout | None = None

    @cached_property
    def layout(self) -> Layout:
        return layout_of(self.tokenizer, self.encoder_decoder)

    def document(self, example: Example) -> list[int]:
        """A whole text between the tokens that begin and end one."""
        return self.layout.encoded(example).tokens

    def row(self, example: Example, cuts: Cuts) -> Encoded | None:
        """Prompt and response, to learn from; None if nothing of the response fits."""
        encoded = self._fitting(example, self.length)
        if not encoded.written:
            cuts.dropped += 1
            return None
        if self._excess(encoded, self.length) <= 0:
            return encoded
        keep, over = encoded.first, len(encoded.tokens) - self.length
        if keep >= self.length:
            # At least half of what fits stays the prompt's.
            keep = max(keep - over, self.length // 2)
        keep = min(keep, self.layout.most(self.length))
        if keep < encoded.first:
            encoded = self._cut(example, encoded, encoded.first - keep)
            cuts.prompts += 1
        tokens = encoded.tokens[: self.length]
        cuts.responses += len(tokens) < len(encoded.tokens)
        pairs = zip(encoded.written[::2], encoded.written[1::2], strict=True)
        inside = [(b, min(e, len(tokens))) for b, e in pairs if b < len(tokens)]
        if not inside:
            cuts.dropped += 1
            return None
        return Encoded(tokens, inside[-1][0], [place for pair in inside for place in pair])

    def prompt(self, example: Example, capacity: int, cuts: Cuts) -> list[int]:
        """The given part alone, with room for so many tokens behind it."""
        last = example.pieces[-1]
        given = example._replace(pieces=example.pieces[:-1]) if last.written else example
        most = self.length - capacity
        if most <= self.layout.frame:
            raise UserError(
                f"{capacity} tokens are to be written, but {self.length} is all there is room for: "
                "lower data.response_tokens, data.validation_tokens or max_new_tokens"
            )
        encoded, most = self._fitting(given, most), self.layout.most(most)
        excess = len(encoded.tokens) - most
        if excess <= 0:
            return encoded.tokens
        cuts.prompts += 1
        whole = Encoded(encoded.tokens, len(encoded.tokens), [])
        return self._cut(given, whole, excess, capacity).tokens[:most]

    def _fitting(self, example: Example, length: int) -> Encoded:
        """Encoded, the long piece without as many last sentences as it takes."""
        encoded = self.layout.encoded(example)
        excess = self._excess(encoded, length)
        at = next((n for n, piece in enumerate(example.pieces) if piece.long), None)
        if at is None or excess <= 0:
            return encoded
        sentences = split_sentences(example.pieces[at].text)
        # With the space before it, which goes as well; rather too many than too few.
        sizes = [len(self.tokenizer.encode(f" {some.strip()}", bos=False)) for some in sentences]
        keep = len(sentences)
        while excess > 0 and keep > 1:
            while keep > 1 and excess > 0:
                keep -= 1
                excess -= sizes[keep]
            pieces = list(example.pieces)
            pieces[at] = pieces[at]._replace(text="".join(sentences[:keep]).rstrip())
            encoded = self.layout.encoded(example._replace(pieces=tuple(pieces)))
            excess = self._excess(encoded, length)
        return encoded

    def _excess(self, encoded: Encoded, length: int) -> int:
        """How many tokens are too many, in all or before what is written."""
        return max(len(encoded.tokens) - length, encoded.prompt - self.layout.most(length))

    def _cut(self, example: Example, encoded: Encoded, excess: int, capacity: int = 0) -> Encoded:
        """Without `excess` tokens of the first given part; UserError if that is an error."""
        if self.truncate != "error":
            return self.layout.cut(encoded, excess, self.truncate)
        place, advice = example.place or "a prompt", "give data.truncate=left or right"
        if told := self.layout.too_long(encoded.first):
            raise UserError(f"{place}: {told}: {advice}")
        behind = f" with room for {capacity} behind it" if capacity else ""
        raise UserError(
            f"{place}: its {encoded.first} tokens do not fit into {self.length}{behind}: "
            f"{advice}, or another data.length"
        )


def split_sentences(text: str) -> list[str]:
    """Sentences and lines, each with the space behind it: joined they are the text."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    borders = [0, *ends, len(text)]
    parts = [text[begin:end] for begin, end in itertools.pairwise(borders)]
    return [part for part in parts if part]
