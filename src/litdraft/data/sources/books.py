"""Books split by title: no book is in both the training and a held-out split."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.readers.epub import read_epub
from litdraft.data.readers.gutenberg import read_gutenberg
from litdraft.data.readers.text_files import Paths, files_of, read_text, stamp
from litdraft.data.readers.titles import Titles, as_list, normalized, split_titles
from litdraft.data.sources.examples import Example, Segment, Split, join_text
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer

ENDINGS = (".txt", ".epub")


class Book(NamedTuple):
    title: str
    file: Path
    chapters: list[str]  # a .txt file is one chapter

    @property
    def epub(self) -> bool:
        return self.file.suffix == ".epub"


class Books:
    """.txt and .epub files, split by title.

    test, validation: titles or parts of them; case and punctuation are ignored. If one is null, the
    seed chooses one title for it.
    """

    documents = True

    def __init__(
        self,
        path: Paths,
        test: Titles | None = None,
        validation: Titles | None = None,
        seed: int = 0,
    ) -> None:
        self.path, self.seed = path, seed
        self.named: dict[Split, list[str] | None] = {
            "test": as_list(test),
            "validation": as_list(validation),
        }

    @property
    def own_splits(self) -> frozenset[Split]:
        return frozenset({"validation", "test"})

    def facts(self) -> dict[str, Any]:
        return {
            "class": type(self).__name__,
            "test": self.named["test"],
            "validation": self.named["validation"],
            "seed": self.seed,
            "files": [stamp(file) for file in self._files],
        }

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        return self.chapters(split)

    def texts(self) -> Iterator[str]:
        """All training chapters; a tokenizer may be trained on them."""
        return (join_text(chapter.segments) for chapter in self.chapters("training"))

    def chapters(self, split: Split) -> list[Example]:
        """One example per chapter of an epub or per .txt file; its group is the title."""
        return [
            Example((Segment(text, response=True),), book.title, _location(book, number))
            for book in self.books[split]
            for number, text in enumerate(book.chapters, start=1)
        ]

    @cached_property
    def books(self) -> dict[Split, list[Book]]:
        """Every title once, in the order of the files. UserError if a file is not a book, or if the
        named titles do not give three splits."""
        by_title: dict[str, Book] = {}
        for file in self._files:
            book = _read_book(file)
            same = by_title.setdefault(normalized(book.title), book)
            if book.epub and not same.epub:  # an epub has chapters
                by_title[normalized(book.title)] = book
        titles = {key: book.title for key, book in by_title.items()}
        shelves: dict[Split, list[Book]] = {"training": [], "validation": [], "test": []}
        for key, split in split_titles(titles, self.named, self.seed).items():
            shelves[split].append(by_title[key])
        return shelves

    @cached_property
    def _files(self) -> list[Path]:
        files = list(dict.fromkeys(files_of(self.path, ENDINGS)))
        for file in files:
            if file.suffix not in ENDINGS:
                raise UserError(f"{file} is not a book: give data.path .txt or .epub files")
        return files


def _location(book: Book, number: int) -> str:
    return f"{book.file}, chapter {number}" if book.epub else str(book.file)


def _read_book(file: Path) -> Book:
    """A file without a title is named after the file, without Gutenberg's number."""
    if file.suffix == ".epub":
        title, chapters = read_epub(file)
    else:
        title, text = read_gutenberg(read_text(file))
        chapters = [text]
        if not text:
            raise UserError(f"{file} has a header, but no text: give another file")
    name = re.sub(r"^pg\d+[_-]+", "", file.stem).replace("_", " ").strip()
    return Book(title or name, file, chapters)
