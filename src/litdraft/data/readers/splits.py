"""Pairs of texts by split: the hub's own splits, or local files assigned by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.readers.detokenize import SAMPLE_LINES, folded
from litdraft.data.readers.tables import filled_rows, open_hub
from litdraft.data.readers.text_files import stamp
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError

HUB_SPLITS: dict[Split, str] = {"training": "train", "validation": "validation", "test": "test"}
MAX_TEXT_PAIRS = 100_000  # pairs that `Pairs.texts` gives at most

Files = tuple[Path, ...]
NameParts = str | Sequence[str] | None  # parts of file names


class Pair(NamedTuple):
    """A source text, its target text, and their file and line."""

    source: str
    target: str
    location: str


# From the first pairs of a split to a function that cleans each pair.
Cleaner = Callable[[list[Pair]], Callable[[Pair], Pair]]


class Pairs(NamedTuple):
    """Pairs by index; `get` makes each one."""

    numbers: Sequence[int]
    get: Callable[[int], Pair]

    def texts(self) -> Iterator[str]:
        """Both sides of up to MAX_TEXT_PAIRS pairs, spread evenly; a tokenizer may be trained on
        them."""
        for number in self.numbers[:: -(-len(self.numbers) // MAX_TEXT_PAIRS) or 1]:
            pair = self.get(number)
            yield pair.source
            yield pair.target


def filled(pairs: Iterable[Pair]) -> list[Pair]:
    """Pairs stripped of outer spaces, without those that are then empty on a side."""
    stripped = (
        Pair(source.strip(), target.strip(), location) for source, target, location in pairs
    )
    return [pair for pair in stripped if pair.source and pair.target]


@dataclass(frozen=True)
class Hub:
    """Pairs from two columns of a data set, without those empty on a side."""

    name: str
    config: str
    columns: tuple[str, str]
    cleaner: Cleaner = lambda first: lambda pair: pair

    @property
    def own_splits(self) -> frozenset[Split]:
        return frozenset({"validation", "test"})

    def stamps(self) -> dict[Split, Any]:
        """The library's own fingerprint, which follows revisions and local files."""
        return {"training": self._table("training")._fingerprint}

    def _table(self, split: Split) -> Any:
        return open_hub(self.name, self.config, HUB_SPLITS[split], self.columns)

    def pairs(self, split: Split) -> Pairs:
        table = self._table(split)
        rows = filled_rows(table, self.columns)

        def get(row: int) -> Pair:
            cells, location = table[row], f"{self.name}, {HUB_SPLITS[split]}, row {row + 1}"
            source, target = (cells[column].strip() for column in self.columns)
            return Pair(source, target, location)

        clean = self.cleaner([get(row) for row in rows[:SAMPLE_LINES]])
        return Pairs(rows, lambda row: clean(get(row)))


class Local:
    """Pairs of local texts, each of one file or more.

    Texts with a part of `validation` or `test` in a file's name are held out; all others are
    training text. A training pair is dropped if one of its first `compared_sides` sides, compared
    by letters and digits, is also in held-out text. `read` returns a text's pairs.
    """

    def __init__(
        self,
        texts: Sequence[Files],
        read: Callable[[Files], list[Pair]],
        validation: NameParts,
        test: NameParts,
        compared_sides: int = 2,
    ) -> None:
        self.read, self.compared_sides = read, compared_sides
        self.parts: dict[Split, list[str]] = {"validation": _list(validation), "test": _list(test)}
        self.texts: dict[Split, list[Files]] = {"training": [], "validation": [], "test": []}
        for files in texts:
            self.texts[self._split_of(files)].append(files)

    @property
    def own_splits(self) -> frozenset[Split]:
        return frozenset(split for split in self.parts if self.texts[split])

    def stamps(self) -> dict[Split, Any]:
        """Changes when a file or its split changes."""
        return {
            split: [[stamp(file) for file in files] for files in texts]
            for split, texts in self.texts.items()
        }

    def pairs(self, split: Split) -> Pairs:
        """The pairs of a split; UserError if there are none."""
        pairs = self._clean if split == "training" else self._read(split)
        if not pairs:
            raise UserError(
                f"data.path has no {split} pairs (file names of held-out splits: {self.parts}): "
                "give more files, or change data.validation or data.test"
            )
        return Pairs(range(len(pairs)), pairs.__getitem__)

    @cached_property
    def _clean(self) -> list[Pair]:
        held_out = {side for s in self.parts for pair in self._read(s) for side in self._keys(pair)}
        pairs = self._read("training")
        return [p for p in pairs if not held_out or held_out.isdisjoint(self._keys(p))]

    def _keys(self, pair: Pair) -> list[tuple[int, str]]:
        return [(side, folded(pair[side])) for side in range(self.compared_sides)]

    def _read(self, split: Split) -> list[Pair]:
        return [pair for files in self.texts[split] for pair in self.read(files)]

    def _split_of(self, files: Files) -> Split:
        matches: list[Split] = [
            split
            for split, parts in self.parts.items()
            if any(part in file.name for part in parts for file in files)
        ]
        if len(matches) > 1:
            raise UserError(
                f"{files[0]} matches both data.validation={self.parts['validation']} and "
                f"data.test={self.parts['test']}: give them different parts of file names"
            )
        return matches[0] if matches else "training"


def _list(parts: NameParts) -> list[str]:
    return [part for part in ([parts] if isinstance(parts, str) else parts or ()) if part]
