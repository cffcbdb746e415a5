"""From pieces of text to a row of tokens that fits."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from litdraft.data.examples import Example, Piece
from litdraft.data.rows import Spans
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer

TRUNCATE = ("error", "left", "right")
SENTENCE_END = re.compile(r"(?<=[.!?][\"'’”)\]])\s+|(?<=[.!?])\s+|\n+")


class Encoded(NamedTuple):
    """A row: `prompt` tokens are given, `written` spans are the target's or a text's own."""

    tokens: list[int]
    prompt: int
    written: Spans


@dataclass
class Cuts:
    """What did not fit: how many prompts and responses were cut, and rows left out because nothing
    of their response remained."""

    prompts: int = 0
    responses: int = 0
    dropped: int = 0


@dataclass(frozen=True)
class Encoder:
    """Encodes examples as rows of at most `length` tokens.

    A long piece loses sentences from its end first. Then `truncate` decides what a prompt that is
    still too long loses: error, its beginning (left), or its end and all behind it (right). A
    response that is too long always loses its end.
    """

    tokenizer: Tokenizer
    length: int
    truncate: str = "error"

    def document(self, example: Example) -> list[int]:
        """A whole text between the tokens that begin and end one."""
        return self.tokenizer.encode(joined(example.pieces)) + self._end(example)

    def row(self, example: Example, cuts: Cuts) -> Encoded | None:
        """Prompt and response, to learn from; None if nothing of the response fits."""
        encoded = self._fitting(example, self.length)
        if not encoded.written:
            cuts.dropped += 1
            return None
        over = len(encoded.tokens) - self.length
        if over <= 0:
            return encoded
        first = encoded.written[0]
        if first >= self.length:
            # At least half of what fits stays the prompt's.
            encoded = self._cut(example, encoded, min(over, first - self.length // 2))
            cuts.prompts += 1
        tokens = encoded.tokens[: self.length]
        cuts.responses += len(tokens) < len(encoded.tokens)
        pairs = zip(encoded.written[::2], encoded.written[1::2], strict=True)
        inside = [(b, min(e, len(tokens))) for b, e in pairs if b < len(tokens)]
        if not inside:
            cuts.dropped += 1
            return None
        return Encoded(tokens, inside[-1][0], [place for pair in inside for place in pair])

    def prompt(self, example: Example, room: int, cuts: Cuts) -> list[int]:
        """The given part alone, with room for so many tokens behind it."""
        last = example.pieces[-1]
        given = example._replace(pieces=example.pieces[:-1]) if last.written else example
        most = self.length - room
        if most < 1:
            raise UserError(
                f"{room} tokens are to be written, but {self.length} is all there is room for: "
                "lower data.response_tokens, data.validation_tokens or max_new_tokens"
            )
        tokens = self._fitting(given, most).tokens
        if len(tokens) <= most:
            return tokens
        cuts.prompts += 1
        whole = Encoded(tokens, len(tokens), [])
        return self._cut(given, whole, len(tokens) - most, room).tokens[:most]

    def _fitting(self, example: Example, most: int) -> Encoded:
        """Encoded, the long piece without as many last sentences as it takes."""
        encoded = self._encode(example)
        at = next((n for n, piece in enumerate(example.pieces) if piece.long), None)
        if at is None or len(encoded.tokens) <= most:
            return encoded
        sentences = split_sentences(example.pieces[at].text)
        # With the space before it, which goes as well; rather too many than too few.
        sizes = [len(self.tokenizer.encode(f" {some.strip()}", bos=False)) for some in sentences]
        keep, excess = len(sentences), len(encoded.tokens) - most
        while len(encoded.tokens) > most and keep > 1:
            while keep > 1 and excess > 0:
                keep -= 1
                excess -= sizes[keep]
            pieces = list(example.pieces)
            pieces[at] = pieces[at]._replace(text="".join(sentences[:keep]).rstrip())
            encoded = self._encode(example._replace(pieces=tuple(pieces)))
            excess = len(encoded.tokens) - most
        return encoded

    def _encode(self, example: Example) -> Encoded:
        tokens: list[int] = []
        written: Spans = []
        text = ""
        for is_written, some in itertools.groupby(example.pieces, lambda piece: piece.written):
            part = joined(some)
            text += part
            whole = self._whole(example, text)
            begin = len(tokens)
            # Where the border falls inside a token, a target goes on with a token of its own.
            tokens = whole if whole[:begin] == tokens else tokens + self._apart(example, part)
            if is_written:
                written += [begin, len(tokens)]
        if example.pieces and example.pieces[-1].written:
            tokens = tokens + self._end(example)
            written[-1] = len(tokens)
            return Encoded(tokens, written[-2], written)
        return Encoded(tokens, len(tokens), written)

    def _apart(self, example: Example, text: str) -> list[int]:
        if example.rendered:
            return self.tokenizer.encode_rendered(text)
        return self.tokenizer.encode(text, bos=False)

    def _whole(self, example: Example, text: str) -> list[int]:
        if example.rendered:
            return self.tokenizer.encode_rendered(text)
        return self.tokenizer.encode(text)

    def _end(self, example: Example) -> list[int]:
        """A chat template has written its own end."""
        ended = example.rendered or self.tokenizer.eos is None
        return [] if ended else [self.tokenizer.eos]  # type: ignore[list-item]

    def _cut(self, example: Example, encoded: Encoded, excess: int, room: int = 0) -> Encoded:
        """Without `excess` tokens of the first given part; BOS stays."""
        first = encoded.written[0] if encoded.written else len(encoded.tokens)
        if self.truncate == "error":
            behind = f" with room for {room} behind it" if room else ""
            raise UserError(
                f"{example.place or 'a prompt'}: its {first} tokens do not fit into "
                f"{self.length}{behind}: give data.truncate=left or right, or another data.length"
            )
        if self.truncate == "right":
            return encoded
        bos = int(encoded.tokens[0] == self.tokenizer.bos)
        tokens = encoded.tokens[:bos] + encoded.tokens[bos + excess :]
        moved = [place - excess for place in encoded.written]
        return Encoded(tokens, encoded.prompt - excess, moved)


def split_sentences(text: str) -> list[str]:
    """Sentences and lines, each with the space behind it: joined they are the text."""
    ends = [match.end() for match in SENTENCE_END.finditer(text)]
    borders = [0, *ends, len(text)]
    parts = [text[begin:end] for begin, end in itertools.pairwise(borders)]
    return [part for part in parts if part]


def joined(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces)
