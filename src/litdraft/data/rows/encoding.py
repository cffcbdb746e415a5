"""From the segments of an example to a row of tokens that fits."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from functools import cached_property

from litdraft.data.rows.prompt_layout import Encoded, RowLayout, row_layout
from litdraft.data.sources.examples import Example
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout
from litdraft.tokenizers.base import Tokenizer

TRUNCATE = ("error", "left", "right")
SENTENCE_END = re.compile(r"(?<=[.!?][\"'’”)\]])\s+|(?<=[.!?])\s+|\n+")


@dataclass
class Cuts:
    """How many prompts and responses were cut, and how many rows were left out because nothing of
    their response fits."""

    prompts: int = 0
    responses: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Encoder:
    """Encodes examples as rows of at most `length` tokens; for an encoder-decoder if
    `encoder_decoder` is given.

    A `long` segment first loses sentences from its end. If the prompt is still too long,
    `truncate` decides: error, cut its beginning (left), or cut its end (right), which for a
    decoder-only row also cuts everything after it. A response that is too long loses its end.
    """

    tokenizer: Tokenizer
    length: int
    truncate: str = "error"
    encoder_decoder: EncoderDecoderLayout | None = None

    @cached_property
    def layout(self) -> RowLayout:
        return row_layout(self.tokenizer, self.encoder_decoder)

    def document(self, example: Example) -> list[int]:
        """A whole text with its begin and end tokens."""
        return self.layout.encoded(example).tokens

    def row(self, example: Example, cuts: Cuts) -> Encoded | None:
        """Prompt and response, to train on; None if nothing of the response fits."""
        encoded = self._shortened(example, self.length)
        if not encoded.spans:
            cuts.dropped += 1
            return None
        if self._excess(encoded, self.length) <= 0:
            return encoded
        keep, over = encoded.response_start, len(encoded.tokens) - self.length
        if keep >= self.length:
            # At least half of the row belongs to the prompt.
            keep = max(keep - over, self.length // 2)
        keep = min(keep, self.layout.max_prompt(self.length))
        if keep < encoded.response_start:
            encoded = self._cut(example, encoded, encoded.response_start - keep)
            cuts.prompts += 1
        return self._cut_response(encoded, cuts)

    def prompt(self, example: Example, capacity: int, cuts: Cuts) -> list[int]:
        """The prompt alone, leaving space for `capacity` tokens after it."""
        last = example.segments[-1]
        prompt = example._replace(segments=example.segments[:-1]) if last.response else example
        most = self.length - capacity
        if most <= self.layout.overhead:
            raise UserError(
                f"{capacity} tokens are to be generated, but the whole row holds {self.length}: "
                "lower data.response_tokens, data.validation_tokens or max_new_tokens"
            )
        encoded, most = self._shortened(prompt, most), self.layout.max_prompt(most)
        excess = len(encoded.tokens) - most
        if excess <= 0:
            return encoded.tokens
        cuts.prompts += 1
        whole = Encoded(encoded.tokens, len(encoded.tokens), [])
        return self._cut(prompt, whole, excess, capacity).tokens[:most]

    def _cut_response(self, encoded: Encoded, cuts: Cuts) -> Encoded | None:
        tokens = encoded.tokens[: self.length]
        cuts.responses += len(tokens) < len(encoded.tokens)
        pairs = zip(encoded.spans[::2], encoded.spans[1::2], strict=True)
        inside = [(b, min(e, len(tokens))) for b, e in pairs if b < len(tokens)]
        if not inside:
            cuts.dropped += 1
            return None
        return Encoded(tokens, inside[-1][0], [edge for pair in inside for edge in pair])

    def _shortened(self, example: Example, length: int) -> Encoded:
        """Encoded; the long segment loses as many of its last sentences as necessary."""
        encoded = self.layout.encoded(example)
        excess = self._excess(encoded, length)
        index = next((n for n, segment in enumerate(example.segments) if segment.long), None)
        if index is None or excess <= 0:
            return encoded
        sentences = split_sentences(example.segments[index].text)
        # With the space before it, which is removed too: rather too many tokens than too few.
        sizes = [len(self.tokenizer.encode(f" {some.strip()}", bos=False)) for some in sentences]
        keep = len(sentences)
        while excess > 0 and keep > 1:
            while keep > 1 and excess > 0:
                keep -= 1
                excess -= sizes[keep]
            segments = list(example.segments)
            segments[index] = segments[index]._replace(text="".join(sentences[:keep]).rstrip())
            encoded = self.layout.encoded(example._replace(segments=tuple(segments)))
            excess = self._excess(encoded, length)
        return encoded

    def _excess(self, encoded: Encoded, length: int) -> int:
        """By how many tokens the row, or its prompt, is too long."""
        return max(len(encoded.tokens) - length, encoded.prompt - self.layout.max_prompt(length))

    def _cut(self, example: Example, encoded: Encoded, excess: int, capacity: int = 0) -> Encoded:
        """Without `excess` tokens of the prompt; UserError with truncate=error."""
        if self.truncate != "error":
            return self.layout.cut(encoded, excess, self.truncate)
        location, advice = example.location or "a prompt", "give data.truncate=left or right"
        if problem := self.layout.length_problem(encoded.response_start):
            raise UserError(f"{location}: {problem}: {advice}")
        after = f" with {capacity} tokens after it" if capacity else ""
        raise UserError(
            f"{location}: its {encoded.response_start} tokens do not fit into {self.length}"
            f"{after}: {advice}, or another data.length"
        )


def split_sentences(text: str) -> list[str]:
    """Sentences and lines, each with the whitespace after it; joined they are the text."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    borders = [0, *ends, len(text)]
    parts = [text[begin:end] for begin, end in itertools.pairwise(borders)]
    return [part for part in parts if part]
