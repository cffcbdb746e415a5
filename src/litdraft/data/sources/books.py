"""Books kept apart by title: what is tested on is never a book that was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.readers.epub import read_epub
from litdraft.data.readers.gutenberg import read_gutenberg
from litdraft.data.readers.text_files import Paths, files_of, read_text, stamp
from litdraft.data.readers.titles import Titles, listed, normalized, split_titles
from litdraft.data.sources.examples import Example, Piece, Split, joined
from litdraft.errors import UserError
from litdraft.tokenizers.load import Tokenizer

ENDINGS = (".txt", ".epub")


class Book(NamedTuple):
    title: str
    file: Path
    chapters: list[str]  # of a .txt the whole text

    @property
    def epub(self) -> bool:
        return self.file.suffix == ".epub"


class Books:
    """.txt and .epub files, split by title.

    test, validation: titles or parts of them, matched without regard to case and punctuation; of
    those left null, one title is chosen by the seed.
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
            "test": listed(test),
            "validation": listed(validation),
        }

    @property
    def apart(self) -> frozenset[Split]:
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
        """Every chapter to train on: what a tokenizer may be trained on."""
        return (joined(chapter.pieces) for chapter in self.chapters("training"))

    def chapters(self, split: Split) -> list[Example]:
        """A chapter of an epub, or a whole .txt, is an example; its group is the title."""
        return [
            Example((Piece(text, written=True),), book.title, _place(book, number))
            for book in self.books[split]
            for number, text in enumerate(book.chapters, start=1)
        ]

    @cached_property
    def books(self) -> dict[Split, list[Book]]:
        """Every title once, in the order of the files. UserError if a file is no book, or if the
        titles cannot be split as they are named."""
        found: dict[str, Book] = {}
        for file in self._files:
            book = _read_book(file)
            same = found.setdefault(normalized(book.title), book)
            if book.epub and not same.epub:  # it has chapters
                found[normalized(book.title)] = book
        titles = {key: book.title for key, book in found.items()}
        shelves: dict[Split, list[Book]] = {"training": [], "validation": [], "test": []}
        for key, split in split_titles(titles, self.named, self.seed).items():
            shelves[split].append(found[key])
        return shelves

    @cached_property
    def _files(self) -> list[Path]:
        files = list(dict.fromkeys(files_of(self.path, ENDINGS)))
        for file in files:
            if file.suffix not in ENDINGS:
                raise UserError(f"{file} is no book: give data.path .txt or .epub files")
        return files


def _place(book: Book, number: int) -> str:
    return f"{book.file}, chapter {number}" if book.epub else str(book.file)


def _read_book(file: Path) -> Book:
    """Where a file tells no title, it is the file's name without Gutenberg's number."""
    if file.suffix == ".epub":
        title, chapters = read_epub(file)
    else:
        title, text = read_gutenberg(read_text(file))
        chapters = [text]
        if not text:
            raise UserError(f"{file} holds a header, but no text: give another file")
    name = re.sub(r"^pg\d+[_-]+", "", file.stem).replace("_", " ").strip()
    return Book(title or name, file, chapters)
