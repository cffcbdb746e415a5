"""What a source of text offers, before any tokenization."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar, overload, runtime_checkable

from litdraft.tokenizers.base import Tokenizer

Split = Literal["training", "validation", "test"]
Row = TypeVar("Row")


class Segment(NamedTuple):
    """A stretch of text: prompt, or `response`, which the target would write.

    A `long` segment may lose sentences from its end if the whole does not fit.
    """

    text: str
    response: bool = False
    long: bool = False


class Example(NamedTuple):
    """Segments in reading order. The last one is a response, or everything is a prompt.

    `group`: a category that reports show separately. `location`: its file and line, for errors.
    `rendered`: a chat template has written the special tokens, so none are added.
    """

    segments: tuple[Segment, ...]
    group: str = ""
    location: str = ""
    rendered: bool = False


def join_text(segments: Iterable[Segment]) -> str:
    return "".join(segment.text for segment in segments)


def prompt_text(example: Example) -> str:
    """Everything before the last response."""
    answered = any(segment.response for segment in example.segments[-1:])
    return join_text(example.segments[:-1] if answered else example.segments)


def response_text(example: Example, tokenizer: Tokenizer) -> str | None:
    """The last response, without the special tokens of a chat template; None if there is none, or
    an empty one."""
    text = join_text(segment for segment in example.segments[-1:] if segment.response)
    if example.rendered:
        text = tokenizer.decode(tokenizer.encode_rendered(text))
    return text.strip() or None


@runtime_checkable
class HasTexts(Protocol):
    """Examples that are whole texts, or have them: what a tokenizer may be trained on."""

    def texts(self) -> Iterable[str]: ...


class Examples(Protocol):
    """A source of text.

    documents: its examples are whole texts, to be cut into rows; otherwise one example is one row.
    own_splits: the splits that it has itself; the others are taken from its training text.
    """

    documents: bool

    @property
    def own_splits(self) -> frozenset[Split]: ...

    def facts(self) -> dict[str, Any]:
        """Plain data that changes whenever `examples` would: options, and a `stamp` of each
        file."""

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        """In the order of the files; UserError if a file cannot be read or has the wrong form."""


@dataclass(frozen=True)
class LazyExamples(Sequence[Example], Generic[Row]):
    """Examples made from the rows of a table on access."""

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
            return [self[i] for i in range(*index.indices(len(self)))]
        return self.example(index, self.table[index])

    def __iter__(self) -> Iterator[Example]:
        return (self[index] for index in range(len(self)))
