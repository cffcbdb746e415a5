"""CNN/DailyMail: articles to be summarized."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.examples import Example, Mapped, Piece, Split
from litdraft.data.files import Paths, files_of, stamp
from litdraft.data.restored import folded
from litdraft.data.tables import (
    ENDINGS,
    HUB_SPLITS,
    Table,
    name_parts,
    open_hub,
    open_table,
    split_of,
)
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer

COLUMNS = ("article", "highlights")


class Row(NamedTuple):
    """Where an article and its highlights stand: `number` counts a file's rows from 0."""

    table: Table
    number: int
    name: str

    @property
    def place(self) -> str:
        return f"{self.name}, row {self.number + 1}"


class CNNDailyMail:
    """Each example is a prompt with an article, then its highlights, one a line.

    From the hub its own splits are used as they are. Of local files those with a part of
    `validation` or `test` in their names are held out, and all others are training text, less the
    rows of which the article also stands, by its letters and digits, in a held-out file: `dropped`
    of them. Rows without an article or highlights are skipped.
    """

    documents = False

    def __init__(
        self,
        path: Paths | None = None,
        hub: str = "abisee/cnn_dailymail",
        config: str = "3.0.0",
        validation: str | Sequence[str] | None = "validation",
        test: str | Sequence[str] | None = "test",
        prompt: str = "Summarize: {article}\nTL;DR:",
    ) -> None:
        self.path, self.hub, self.config, self.prompt = path, hub, config, prompt
        self.held_out: dict[Split, list[str]] = {
            "validation": name_parts(validation),
            "test": name_parts(test),
        }
        if prompt.count("{article}") != 1:
            raise UserError(f"data.prompt={prompt!r} must name {{article}} once")

    @property
    def apart(self) -> frozenset[Split]:
        if self.path is None:
            return frozenset(self.held_out)
        return frozenset(split for split in self.held_out if self._files[split])

    @property
    def dropped(self) -> int:
        """How many local training rows were left out, because a held-out file has the article."""
        return 0 if self.path is None else self._clean[1]

    def facts(self) -> dict[str, Any]:
        files = [] if self.path is None else [f for some in self._files.values() for f in some]
        choices = ("hub", "config", "held_out", "prompt")
        return {
            "class": "CNNDailyMail",
            "local": self.path is not None,
            **{choice: getattr(self, choice) for choice in choices},
            "files": [stamp(file) for file in files],
        }

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        if self.path is None:
            hub_split = HUB_SPLITS[split]
            table = open_hub(self.hub, self.config, hub_split, COLUMNS)
            name = f"{self.hub}, {hub_split}"
            return Mapped(range(len(table)), lambda _, i: self._example(Row(table, i, name)))
        rows = self._clean[0] if split == "training" else self._rows[split]
        if not rows:
            raise UserError(
                f"data.path={self.path} holds no {split} rows (held out by their names: "
                f"{self.held_out}): give more files, or change data.validation or data.test"
            )
        return Mapped(rows, lambda _, row: self._example(row))

    def _example(self, row: Row) -> Example:
        article, highlights = _texts(row)
        before, _, behind = self.prompt.partition("{article}")
        asked = (Piece(before), Piece(article, long=True), Piece(behind))
        pieces = [piece for piece in asked if piece.text]
        return Example((*pieces, Piece(" " + highlights, written=True)), place=row.place)

    @cached_property
    def _files(self) -> dict[Split, list[Path]]:
        assert self.path is not None
        splits: dict[Split, list[Path]] = {"training": [], "validation": [], "test": []}
        for file in dict.fromkeys(files_of(self.path, ENDINGS)):
            splits[split_of([file.name], self.held_out)].append(file)
        return splits

    @cached_property
    def _rows(self) -> dict[Split, list[Row]]:
        return {
            split: [row for file in files for row in _filled(file)]
            for split, files in self._files.items()
        }

    @cached_property
    def _clean(self) -> tuple[list[Row], int]:
        """The training rows that may be used, and how many others there are."""
        held_out = {folded(_texts(row)[0]) for s in self.held_out for row in self._rows[s]}
        rows = self._rows["training"]
        clean = [row for row in rows if not held_out or folded(_texts(row)[0]) not in held_out]
        return clean, len(rows) - len(clean)


def _filled(file: Path) -> list[Row]:
    table = open_table([file], COLUMNS)
    rows = (Row(table, number, str(file)) for number in range(len(table)))
    return [row for row in rows if all(_texts(row))]


def _texts(row: Row) -> tuple[str, str]:
    """The article and the highlights; UserError if either is no text."""
    cells = row.table[row.number]
    article, highlights = (cells[column] for column in COLUMNS)
    if not (isinstance(article, str) and isinstance(highlights, str)):
        raise UserError(f"{row.place}: article and highlights must both be text: mend the row")
    return article.strip(), highlights.strip()
