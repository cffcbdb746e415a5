"""How pieces of text stand in a row: one text that goes on, or a source and what answers it."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from litdraft.data.rows.rows import Spans
from litdraft.data.sources.examples import Example, Piece, given_in, joined
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout
from litdraft.tokenizers.load import Tokenizer


class Encoded(NamedTuple):
    """A row: `prompt` tokens are given, `written` spans are the target's or a text's own."""

    tokens: list[int]
    prompt: int
    written: Spans

    @property
    def first(self) -> int:
        """How many tokens stand before anything is written."""
        return self.written[0] if self.written else len(self.tokens)

    def without(self, begin: int, excess: int) -> Encoded:
        """Less so many of its first given tokens, from `begin` on."""
        tokens = self.tokens[:begin] + self.tokens[begin + excess :]
        return Encoded(tokens, self.prompt - excess, [place - excess for place in self.written])


class Layout(Protocol):
    """Lays out examples. A prompt keeps `frame` tokens of its own, whatever it loses."""

    @property
    def frame(self) -> int: ...

    def encoded(self, example: Example) -> Encoded:
        """All of it, however long."""

    def most(self, length: int) -> int:
        """How many tokens a prompt may have in a row of `length`."""

    def too_long(self, prompt: int) -> str:
        """What is to be told where a prompt does not fit by itself; "" where it does."""

    def cut(self, encoded: Encoded, excess: int, side: str) -> Encoded:
        """Without `excess` tokens of its first given part's beginning (left) or end (right)."""


def layout_of(tokenizer: Tokenizer, encoder_decoder: EncoderDecoderLayout | None) -> Layout:
    return Continued(tokenizer) if encoder_decoder is None else Answered(tokenizer, encoder_decoder)


def prompt_tokens(
    tokenizer: Tokenizer, encoder_decoder: EncoderDecoderLayout | None, text: str
) -> list[int]:
    """The prompt of a row that holds nothing but this text. UserError if an encoder cannot read so
    much."""
    layout = layout_of(tokenizer, encoder_decoder)
    tokens = layout.encoded(Example((Piece(text),))).tokens
    if told := layout.too_long(len(tokens)):
        raise UserError(f"the prompt is too long: {told}: give a shorter one")
    return tokens


@dataclass(frozen=True)
class Continued:
    """One text from BOS on, of which some pieces are written; EOS ends the last of them."""

    tokenizer: Tokenizer
    frame = 0

    def encoded(self, example: Example) -> Encoded:
        tokens: list[int] = []
        written: Spans = []
        text = ""
        for is_written, some in itertools.groupby(example.pieces, lambda piece: piece.written):
            part = joined(some)
            text += part
            whole = spelled(self.tokenizer, example, text, bos=True)
            begin = len(tokens)
            # Where the border falls inside a token, a target goes on with a token of its own.
            apart = whole[:begin] != tokens
            tokens = tokens + spelled(self.tokenizer, example, part) if apart else whole
            if is_written:
                written += [begin, len(tokens)]
        if example.pieces and example.pieces[-1].written:
            tokens = tokens + self.end(example)
            written[-1] = len(tokens)
            return Encoded(tokens, written[-2], written)
        return Encoded(tokens, len(tokens), written)

    def end(self, example: Example) -> list[int]:
        """A chat template has written its own end."""
        ended = example.rendered or self.tokenizer.eos is None
        return [] if ended else [self.tokenizer.eos]  # type: ignore[list-item]

    def most(self, length: int) -> int:
        return length

    def too_long(self, prompt: int) -> str:
        return ""

    def cut(self, encoded: Encoded, excess: int, side: str) -> Encoded:
        """BOS stays. On the right a text ends where a row does, all behind it included."""
        if side == "right":
            return encoded
        return encoded.without(int(encoded.tokens[0] == self.tokenizer.bos), excess)


@dataclass(frozen=True)
class Answered:
    """An encoder-decoder's row (see `protocols.Sides`): a source that EOS ends, the start token,
    then the last response, which EOS ends as well. Earlier responses belong to the source. There
    is no BOS, and no space before the response."""

    tokenizer: Tokenizer
    encoder_decoder: EncoderDecoderLayout
    frame = 2  # EOS and the start token

    def encoded(self, example: Example) -> Encoded:
        source = spelled(self.tokenizer, example, given_in(example))
        prompt = [*self._ended(source), self.encoder_decoder.start]
        if not (example.pieces and example.pieces[-1].written):
            return Encoded(prompt, len(prompt), [])
        answer = example.pieces[-1].text.lstrip()
        tokens = prompt + self._ended(spelled(self.tokenizer, example, answer))
        return Encoded(tokens, len(prompt), [len(prompt), len(tokens)])

    def most(self, length: int) -> int:
        return min(length, self.encoder_decoder.limit + 1)

    def too_long(self, prompt: int) -> str:
        source, most = prompt - 1, self.encoder_decoder.limit
        if source <= most:
            return ""
        return f"its {source} source tokens do not fit into the encoder's {most}"

    def cut(self, encoded: Encoded, excess: int, side: str) -> Encoded:
        """EOS and the start token stay, and so does the response."""
        end = max(encoded.prompt - self.frame, 0)
        excess = min(excess, end)
        return encoded.without(0 if side == "left" else end - excess, excess)

    def _ended(self, tokens: list[int]) -> list[int]:
        """With EOS behind, where a chat template has not spelled it."""
        eos = self.tokenizer.eos
        return tokens if eos is None or tokens[-1:] == [eos] else [*tokens, eos]


def spelled(tokenizer: Tokenizer, example: Example, text: str, bos: bool = False) -> list[int]:
    """A part of an example; a chat template has spelled its own BOS."""
    return tokenizer.encode_rendered(text) if example.rendered else tokenizer.encode(text, bos)
