"""Restoring capitals and punctuation to sentences of books: an answer that follows its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from random import Random
from typing import Any, NamedTuple

from litdraft.data.readers.sentences import Disorder, lowered, runs, windows
from litdraft.data.readers.text_files import Paths
from litdraft.data.readers.titles import Titles
from litdraft.data.sources.books import Books
from litdraft.data.sources.examples import Example, Mapped, Piece, Split, joined
from litdraft.errors import UserError
from litdraft.tokenizers.load import Tokenizer

WINDOWS = "windows"  # the title of what is of no book


class Passage(NamedTuple):
    """Sentences of a book, as they are to be written again."""

    text: str
    title: str
    place: str


class Restoration:
    """Each example is a prompt with the words of a passage in lower case, then the passage itself.

    Passages are neighbouring sentences of a paragraph (see `sentences.runs`), of `least_words` to
    `most_words` words together; the seed draws how many. Books are read and kept apart by title as
    `Books` does, and a training passage is dropped whose words stand in a held-out one. To train
    on, there are `windows` more, of neighbouring words wherever they begin and end, a share of them
    `shuffled`, another of words drawn again and again (`repeated`): whoever is to copy must not
    know the text by heart. They may have a prompt of their own, which tells them from whole
    sentences.
    """

    documents = False

    def __init__(
        self,
        path: Paths,
        test: Titles | None = None,
        validation: Titles | None = None,
        prompt: str = "Restore: {text}",
        least_words: int = 4,
        most_words: int = 40,
        windows: int = 0,
        shuffled: float = 0.0,
        repeated: float = 0.0,
        windows_prompt: str | None = None,
        seed: int = 0,
    ) -> None:
        self.books, self.seed = Books(path, test, validation, seed), seed
        self.prompt, self.least_words, self.most_words = prompt, least_words, most_words
        self.windows, self.shuffled, self.repeated = windows, shuffled, repeated
        self.windows_prompt = prompt if windows_prompt is None else windows_prompt
        if windows < 0 or shuffled < 0 or repeated < 0 or shuffled + repeated > 1:
            raise UserError(
                f"data.windows={windows}, data.shuffled={shuffled} and data.repeated={repeated} "
                "were given, but none may be negative, and shuffled and repeated share 1"
            )
        for name, given in (("prompt", prompt), ("windows_prompt", self.windows_prompt)):
            if given.count("{text}") != 1:
                raise UserError(f"data.{name}={given!r} must name {{text}} once")
        if not 1 <= least_words <= most_words:
            raise UserError(
                f"data.least_words={least_words} and data.most_words={most_words} were given, but "
                "1 <= least_words <= most_words is needed"
            )

    @property
    def apart(self) -> frozenset[Split]:
        return self.books.apart

    def facts(self) -> dict[str, Any]:
        keys = ("prompt", "least_words", "most_words", "windows", "shuffled", "repeated",
                "windows_prompt", "seed")  # fmt: skip
        choices = {key: getattr(self, key) for key in keys}
        return {**self.books.facts(), "class": "Restoration", **choices}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        return Mapped(self._passages[split], lambda _, passage: self._example(passage))

    def texts(self) -> Iterator[str]:
        """Prompts and passages to train on: what a tokenizer may be trained on."""
        for passage in self._passages["training"]:
            yield self._asked(passage)
            yield passage.text

    def _asked(self, passage: Passage) -> str:
        prompt = self.windows_prompt if passage.title == WINDOWS else self.prompt
        return prompt.replace("{text}", lowered(passage.text))

    def _example(self, passage: Passage) -> Example:
        pieces = (Piece(self._asked(passage)), Piece(" " + passage.text, written=True))
        return Example(pieces, passage.title, passage.place)

    @cached_property
    def _passages(self) -> dict[Split, list[Passage]]:
        """UserError if a split has none."""
        splits: tuple[Split, ...] = ("training", "validation", "test")
        found = {split: list(self._read(split)) for split in splits}
        found["training"] += self._windows()
        held_out = {lowered(p.text) for split in self.apart for p in found[split]}
        found["training"] = [p for p in found["training"] if lowered(p.text) not in held_out]
        for split, passages in found.items():
            if not passages:
                raise UserError(
                    f"the {split} books hold no sentences of data.least_words={self.least_words} "
                    f"to data.most_words={self.most_words} words: give more books, or a wider range"
                )
        return found

    def _windows(self) -> Iterator[Passage]:
        chapters = self.books.chapters("training")
        paragraphs = [p for chapter in chapters for p in joined(chapter.pieces).split("\n")]
        sizes = (self.windows, self.least_words, self.most_words)
        disorder = Disorder(self.shuffled, self.repeated)
        random = Random(f"{self.seed} windows")
        for text in windows(paragraphs, *sizes, disorder, random):
            yield Passage(text, WINDOWS, "a window")

    def _read(self, split: Split) -> Iterator[Passage]:
        for number, chapter in enumerate(self.books.chapters(split)):
            random = Random(f"{self.seed} {split} {number}")
            for paragraph in joined(chapter.pieces).split("\n"):
                for text in runs(paragraph, self.least_words, self.most_words, random):
                    yield Passage(text, chapter.group, chapter.place)
