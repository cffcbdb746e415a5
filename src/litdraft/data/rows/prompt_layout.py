"""How segments of text become a row: one text that continues, or a source and its response."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from litdraft.data.rows.arrow import Spans
from litdraft.data.sources.examples import Example, Segment, join_text, prompt_text
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout
from litdraft.tokenizers.base import Tokenizer


class Encoded(NamedTuple):
    """A row: the first `prompt` tokens are the prompt, `spans` are the responses."""

    tokens: list[int]
    prompt: int
    spans: Spans

    @property
    def response_start(self) -> int:
        """The position of the first response token."""
        return self.spans[0] if self.spans else len(self.tokens)

    def without(self, begin: int, excess: int) -> Encoded:
        """Without `excess` prompt tokens from position `begin` on."""
        tokens = self.tokens[:begin] + self.tokens[begin + excess :]
        return Encoded(tokens, self.prompt - excess, [edge - excess for edge in self.spans])


class RowLayout(Protocol):
    """Lays out examples as rows. `overhead`: tokens of a prompt that are never cut."""

    @property
    def overhead(self) -> int: ...

    def encoded(self, example: Example) -> Encoded:
        """The whole example, however long."""

    def max_prompt(self, length: int) -> int:
        """The longest prompt in a row of `length` tokens."""

    def length_problem(self, prompt: int) -> str:
        """An error message if a prompt of this length never fits; "" if it does."""

    def cut(self, encoded: Encoded, excess: int, side: str) -> Encoded:
        """Without `excess` tokens at the prompt's beginning (left) or end (right)."""


def row_layout(tokenizer: Tokenizer, encoder_decoder: EncoderDecoderLayout | None) -> RowLayout:
    if encoder_decoder is None:
        return DecoderOnlyRows(tokenizer)
    return EncoderDecoderRows(tokenizer, encoder_decoder)


def prompt_tokens(
    tokenizer: Tokenizer, encoder_decoder: EncoderDecoderLayout | None, text: str
) -> list[int]:
    """A prompt of this text alone, as tokens. UserError if it is too long for an encoder."""
    layout = row_layout(tokenizer, encoder_decoder)
    tokens = layout.encoded(Example((Segment(text),))).tokens
    if problem := layout.length_problem(len(tokens)):
        raise UserError(f"the prompt is too long: {problem}: give a shorter one")
    return tokens


@dataclass(frozen=True)
class DecoderOnlyRows:
    """One text that begins with BOS; some of its segments are responses, and EOS ends the last."""

    tokenizer: Tokenizer
    overhead = 0

    def encoded(self, example: Example) -> Encoded:
        tokens: list[int] = []
        spans: Spans = []
        text = ""
        for response, some in itertools.groupby(example.segments, lambda s: s.response):
            part = join_text(some)
            text += part
            whole = encode_part(self.tokenizer, example, text, bos=True)
            begin = len(tokens)
            # If a token would span the border, the response starts with a token of its own, as
            # it does when the target decodes.
            split = whole[:begin] != tokens
            tokens = tokens + encode_part(self.tokenizer, example, part) if split else whole
            if response:
                spans += [begin, len(tokens)]
        if example.segments and example.segments[-1].response:
            tokens = tokens + self.end(example)
            spans[-1] = len(tokens)
            return Encoded(tokens, spans[-2], spans)
        return Encoded(tokens, len(tokens), spans)

    def end(self, example: Example) -> list[int]:
        """EOS; nothing after a chat template, which writes its own end."""
        ended = example.rendered or self.tokenizer.eos is None
        return [] if ended else [self.tokenizer.eos]  # type: ignore[list-item]

    def max_prompt(self, length: int) -> int:
        return length

    def length_problem(self, prompt: int) -> str:
        return ""

    def cut(self, encoded: Encoded, excess: int, side: str) -> Encoded:
        """BOS stays. On the right a row simply ends at its length, which cuts everything after
        it."""
        if side == "right":
            return encoded
        return encoded.without(int(encoded.tokens[0] == self.tokenizer.bos), excess)


@dataclass(frozen=True)
class EncoderDecoderRows:
    """An encoder-decoder's row (see `protocols.EncoderDecoderLayout`): the source and EOS, the
    start token, the last response and EOS. Earlier responses belong to the source. There is no
    BOS, and no space before the response."""

    tokenizer: Tokenizer
    encoder_decoder: EncoderDecoderLayout
    overhead = 2  # EOS and the start token

    def encoded(self, example: Example) -> Encoded:
        source = encode_part(self.tokenizer, example, prompt_text(example))
        prompt = [*self._with_eos(source), self.encoder_decoder.start]
        if not (example.segments and example.segments[-1].response):
            return Encoded(prompt, len(prompt), [])
        response = example.segments[-1].text.lstrip()
        tokens = prompt + self._with_eos(encode_part(self.tokenizer, example, response))
        return Encoded(tokens, len(prompt), [len(prompt), len(tokens)])

    def max_prompt(self, length: int) -> int:
        return min(length, self.encoder_decoder.limit + 1)

    def length_problem(self, prompt: int) -> str:
        source, most = prompt - 1, self.encoder_decoder.limit
        if source <= most:
            return ""
        return f"its {source} source tokens do not fit into the encoder's {most}"

    def cut(self, encoded: Encoded, excess: int, side: str) -> Encoded:
        """EOS, the start token and the response stay."""
        end = max(encoded.prompt - self.overhead, 0)
        excess = min(excess, end)
        return encoded.without(0 if side == "left" else end - excess, excess)

    def _with_eos(self, tokens: list[int]) -> list[int]:
        """Ended by EOS, unless a chat template has written it."""
        eos = self.tokenizer.eos
        return tokens if eos is None or tokens[-1:] == [eos] else [*tokens, eos]


def encode_part(tokenizer: Tokenizer, example: Example, text: str, bos: bool = False) -> list[int]:
    """Tokens of a part of an example; a chat template has written its own BOS."""
    return tokenizer.encode_rendered(text) if example.rendered else tokenizer.encode(text, bos)
