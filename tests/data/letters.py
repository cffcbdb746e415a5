"""A tokenizer of letters and examples of few, so that rows can be read."""

from __future__ import annotations

from typing import Any

from litdraft.data.sources.examples import Example, Segment, Split
from litdraft.tokenizers.base import Tokenizer


class Letters(Tokenizer):
    """One id per letter; 1 begins a text, 2 ends it."""

    size, bos = 128, 1
    eos: int | None = 2

    def piece(self, token: int) -> str:
        return chr(token)

    def _encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def _decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


class Merging(Letters):
    """Spells "nx" as one token, across the border of prompt and response."""

    def _encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text.replace("nx", "#")]


class Endless(Letters):
    """Has no token that ends a text."""

    eos = None


class Some:
    """`count` examples of a prompt of `given` letters and a response of `written`."""

    documents = False
    own_splits: frozenset[Split] = frozenset()

    def __init__(self, count: int = 30, given: int = 4, written: int = 3) -> None:
        self.count, self.given, self.written = count, given, written

    def facts(self) -> dict[str, Any]:
        return {"count": self.count, "sizes": [self.given, self.written]}

    def examples(self, split: Split, tokenizer: Tokenizer) -> list[Example]:
        return [
            Example(
                (
                    Segment(f"{n:0{self.given}d}" if self.given else ""),
                    Segment("x" * self.written, True),
                )
            )
            for n in range(self.count)
        ]


def example(prompt: str, response: str) -> Example:
    return Example((Segment(prompt), Segment(response, response=True)), location="here, line 1")


def text_of(tokens: list[int]) -> str:
    return "".join({1: "<", 2: ">", 3: "|"}.get(token, chr(token)) for token in tokens)
