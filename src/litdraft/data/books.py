"""Books kept apart by title: what is tested on is never a book that was trained on."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.epub import read_epub
from litdraft.data.examples import Example, Piece, Split
from litdraft.data.files import Paths, files_of, read_text, stamp
from litdraft.data.gutenberg import read_gutenberg
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer

ENDINGS = (".txt", ".epub")
Titles = str | int | Sequence[str | int]  # a number where a title is one: 1984


class Parsed(NamedTuple):
    title: str
    file: Path
    chapters: tuple[str, ...]


@dataclass(frozen=True)
class Book:
    """One title; `copies` are files of the same title that are left out."""

    title: str
    file: Path
    chapters: tuple[str, ...]  # of a .txt the whole text
    split: Split
    copies: tuple[Path, ...] = ()


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
        self.named = {"test": _listed(test), "validation": _listed(validation)}

    @property
    def apart(self) -> frozenset[Split]:
        return frozenset({"validation", "test"})

    def facts(self) -> dict[str, Any]:
        choices = {**self.named, "seed": self.seed}
        return {"class": type(self).__name__, **choices, "files": [stamp(f) for f in self._files]}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        """A chapter of an epub, or a whole .txt, is an example; its group is the title."""
        return [
            Example((Piece(text, written=True),), book.title, _place(book, number))
            for book in self.books
            if book.split == split
            for number, text in enumerate(book.chapters, start=1)
        ]

    @cached_property
    def books(self) -> list[Book]:
        """Every title once, in the order of the files. UserError if a file is no book, a named
        title is not there, or no title is left for a split."""
        copies: dict[str, list[Parsed]] = {}
        for file in self._files:
            book = _parsed(file)
            copies.setdefault(normalized(book.title), []).append(book)
        first = {
            key: min(same, key=lambda book: book.file.suffix != ".epub")
            for key, same in copies.items()
        }
        splits = self._splits({key: book.title for key, book in first.items()})
        return [
            Book(*book, splits[key], tuple(b.file for b in copies[key] if b.file != book.file))
            for key, book in first.items()
        ]

    @cached_property
    def _files(self) -> list[Path]:
        files = list(dict.fromkeys(files_of(self.path, ENDINGS)))
        for file in files:
            if file.suffix not in ENDINGS:
                raise UserError(f"{file} is no book: give data.path .txt or .epub files")
        return files

    def _splits(self, titles: dict[str, str]) -> dict[str, Split]:
        """The split of each normalized title."""
        chosen = {split: _matches(split, named, titles) for split, named in self.named.items()}
        if both := sorted(titles[key] for key in chosen["test"] & chosen["validation"]):
            raise UserError(
                f"data.test and data.validation both name {both[0]!r}: a title can be in one only"
            )
        missing = [split for split in chosen if not chosen[split]]
        if len(titles) - sum(map(len, chosen.values())) <= len(missing):
            raise UserError(_too_few(titles, missing))
        generator = random.Random(self.seed)
        for split in missing:
            free = sorted(titles.keys() - chosen["test"] - chosen["validation"])
            chosen[split] = {generator.choice(free)}
        return {key: _split(key, chosen) for key in titles}


def normalized(title: str) -> str:
    """Two titles of one book are equal in this form: no subtitle, article, case, punctuation."""
    main = re.split(r"[;:]|,\s+or\b", title.casefold().strip(" ;:"), maxsplit=1)[0]
    words = re.sub(r"[\W_]+", " ", main).split()
    if len(words) > 1 and words[0] in ("the", "a", "an"):
        words = words[1:]
    return " ".join(words) or title.casefold()


def _listed(titles: Titles | None) -> list[str] | None:
    if titles is None:
        return None
    return [str(t) for t in ([titles] if isinstance(titles, str | int) else titles)]


def _matches(split: str, named: list[str] | None, titles: dict[str, str]) -> set[str]:
    """The normalized titles that were named for a split; none if the seed is to choose."""
    if named is None:
        return set()
    known = f"give null, or titles from these: {'; '.join(sorted(titles.values()))}"
    if not named:
        raise UserError(f"data.{split} is an empty list: {known}")
    found: set[str] = set()
    for title in named:
        part = normalized(title)
        here = {key for key in titles if part.strip() and part in key}
        if not here:
            raise UserError(f"data.{split} names {title!r}, but no book has that title: {known}")
        found |= here
    return found


def _too_few(titles: dict[str, str], missing: list[str]) -> str:
    if missing and len(titles) < 3:
        return (
            f"data.path holds {len(titles)} title{'s' * (len(titles) != 1)} "
            f"({'; '.join(titles.values())}), but data=books needs at least three, to train, to "
            "validate and to test with: add books, or use data=text"
        )
    return (
        f"data.test and data.validation take all of the {len(titles)} titles in data.path, but at "
        "least one must be left for each split: name fewer titles, or add books"
    )


def _split(key: str, chosen: dict[str, set[str]]) -> Split:
    if key in chosen["test"]:
        return "test"
    return "validation" if key in chosen["validation"] else "training"


def _place(book: Book, number: int) -> str:
    return f"{book.file}, chapter {number}" if book.file.suffix == ".epub" else str(book.file)


def _parsed(file: Path) -> Parsed:
    """A file's title, or else its name without Gutenberg's number, and its chapters."""
    if file.suffix == ".epub":
        title, chapters = read_epub(file)
    else:
        title, text = read_gutenberg(read_text(file))
        chapters = [text]
        if not text:
            raise UserError(f"{file} holds a header, but no text: give another file")
    name = re.sub(r"^pg\d+[_-]+", "", file.stem).replace("_", " ").strip()
    return Parsed(title or name, file, tuple(chapters))
