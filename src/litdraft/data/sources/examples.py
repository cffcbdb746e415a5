"""What a source of text offers, before any tokenizer has seen it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, overload

from litdraft.tokenizers.load import Tokenizer

Split = Literal["training", "validation", "test"]
Row = TypeVar("Row")


class Piece(NamedTuple):
    """A stretch of text, given to the target or `written` as the target would write it.

    A `long` piece may lose sentences from its end where the whole does not fit.
    """

    text: str
    written: bool = False
    long: bool = False


class Example(NamedTuple):
    """Pieces in reading order; the last one is written, or everything is a prompt.

    `group` is a category that reports keep apart; `place` says where it stands, for errors. In a
    `rendered` one a chat template has spelled out the special tokens, and nothing is added.
    """

    pieces: tuple[Piece, ...]
    group: str = ""
    place: str = ""
    rendered: bool = False


def joined(pieces: Iterable[Piece]) -> str:
    return "".join(piece.text for piece in pieces)


def given_in(example: Example) -> str:
    """What stands before the last response."""
    answered = any(piece.written for piece in example.pieces[-1:])
    return joined(example.pieces[:-1] if answered else example.pieces)


def written_in(example: Example, tokenizer: Tokenizer) -> str | None:
    """The last response, without the marks that a chat template puts around it; None where there
    is none, or an empty one."""
    text = joined(piece for piece in example.pieces[-1:] if piece.written)
    if example.rendered:
        text = tokenizer.decode(tokenizer.encode_rendered(text))
    return text.strip() or None


class Examples(Protocol):
    """A source of text.

    documents: its examples are whole texts, to be cut into rows; otherwise one example is one row.
    apart: the splits that it keeps apart itself; the others are dealt out of its training text.
    """

    documents: bool

    @property
    def apart(self) -> frozenset[Split]: ...

    def facts(self) -> dict[str, Any]:
        """Plain data that changes whenever `examples` would: choices, and `stamp` of every file."""

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        """In the order of the files; UserError if the text cannot be read, or is no such text."""


@dataclass(frozen=True)
class Mapped(Sequence[Example], Generic[Row]):
    """Examples made from the rows of a table when they are asked for."""

    table: Sequence[Row]
    example: Callable[[int, Row], Example]

    def __len__(self) -> int:
        return len(self.table)

    @overload
    def __getitem__(self, index: int) -> Example: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Example]: ...
    def __getitem__(self, index: int | slice) -> Example | Sequence[Example]:
        if isinstance(index, slice):
            return [self[place] for place in range(*index.indices(len(self)))]
        return self.example(index, self.table[index])

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))
