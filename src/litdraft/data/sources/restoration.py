"""Restoring capitals and punctuation in sentences from books: a response that copies its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from random import Random
from typing import Any, NamedTuple

from litdraft.data.readers.sentences import Disorder, lower_words, runs, windows
from litdraft.data.readers.text_files import Paths
from litdraft.data.readers.titles import Titles
from litdraft.data.sources.books import Books
from litdraft.data.sources.examples import Example, LazyExamples, Segment, Split, join_text
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer

WINDOWS = "windows"  # the group of passages that are not sentences of one book


class Passage(NamedTuple):
    """Sentences of a book: the response. `title`: the book's, or WINDOWS."""

    text: str
    title: str
    location: str


class Restoration:
    """Each example is a prompt with the words of a passage in lower case, then the passage itself.

    A passage is a few neighbouring sentences of a paragraph (see `sentences.runs`), `least_words`
    to `most_words` words in all; the seed draws how many. Books are read and split by title as in
    `Books`, and a training passage with the same words as a held-out one is dropped. The training
    text also has `windows` passages of neighbouring words that begin and end anywhere. The fraction
    `shuffled` of them has its words shuffled; the fraction `repeated` has words drawn with
    replacement. They teach copying instead of remembering the text. `windows_prompt` is a separate
    prompt for them, so that a model can tell them from whole sentences.
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
                "were given, but none may be negative, and shuffled + repeated must be at most 1"
            )
        for name, value in (("prompt", prompt), ("windows_prompt", self.windows_prompt)):
            if value.count("{text}") != 1:
                raise UserError(f"data.{name}={value!r} must contain {{text}} once")
        if not 1 <= least_words <= most_words:
            raise UserError(
                f"data.least_words={least_words} and data.most_words={most_words} were given, but "
                "1 <= least_words <= most_words is needed"
            )

    @property
    def own_splits(self) -> frozenset[Split]:
        return self.books.own_splits

    def facts(self) -> dict[str, Any]:
        keys = ("prompt", "least_words", "most_words", "windows", "shuffled", "repeated",
                "windows_prompt", "seed")  # fmt: skip
        options = {key: getattr(self, key) for key in keys}
        return {**self.books.facts(), "class": "Restoration", **options}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        return LazyExamples(self._passages[split], lambda _, passage: self._example(passage))

    def texts(self) -> Iterator[str]:
        """Training prompts and passages; a tokenizer may be trained on them."""
        for passage in self._passages["training"]:
            yield self._prompt(passage)
            yield passage.text

    def _prompt(self, passage: Passage) -> str:
        prompt = self.windows_prompt if passage.title == WINDOWS else self.prompt
        return prompt.replace("{text}", lower_words(passage.text))

    def _example(self, passage: Passage) -> Example:
        segments = (Segment(self._prompt(passage)), Segment(" " + passage.text, response=True))
        return Example(segments, passage.title, passage.location)

    @cached_property
    def _passages(self) -> dict[Split, list[Passage]]:
        """The passages of each split; UserError if a split has none."""
        splits: tuple[Split, ...] = ("training", "validation", "test")
        passages = {split: list(self._read(split)) for split in splits}
        passages["training"] += self._windows()
        held_out = {lower_words(p.text) for split in self.own_splits for p in passages[split]}
        training = [p for p in passages["training"] if lower_words(p.text) not in held_out]
        passages["training"] = training
        for split, some in passages.items():
            if not some:
                raise UserError(
                    f"the {split} books have no sentences with data.least_words={self.least_words} "
                    f"to data.most_words={self.most_words} words: give more books or a wider range"
                )
        return passages

    def _windows(self) -> Iterator[Passage]:
        chapters = self.books.chapters("training")
        paragraphs = [p for chapter in chapters for p in join_text(chapter.segments).split("\n")]
        sizes = (self.windows, self.least_words, self.most_words)
        disorder = Disorder(self.shuffled, self.repeated)
        random = Random(f"{self.seed} windows")
        for text in windows(paragraphs, *sizes, disorder, random):
            yield Passage(text, WINDOWS, "a window")

    def _read(self, split: Split) -> Iterator[Passage]:
        for number, chapter in enumerate(self.books.chapters(split)):
            random = Random(f"{self.seed} {split} {number}")
            for paragraph in join_text(chapter.segments).split("\n"):
                for text in runs(paragraph, self.least_words, self.most_words, random):
                    yield Passage(text, chapter.group, chapter.location)
