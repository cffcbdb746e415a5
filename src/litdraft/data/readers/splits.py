"""Pairs of texts by split: the hub's own splits, or local files dealt out by their names."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.readers.detokenize import LOOKED_AT, folded
from litdraft.data.readers.tables import filled_rows, open_hub
from litdraft.data.readers.text_files import stamp
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError

HUB_SPLITS: dict[Split, str] = {"training": "train", "validation": "validation", "test": "test"}
SPOKEN = 100_000

Files = tuple[Path, ...]
Parts = str | Sequence[str] | None


class Pair(NamedTuple):
    """A text, what answers it, and where they stand."""

    source: str
    target: str
    place: str


Mender = Callable[[list[Pair]], Callable[[Pair], Pair]]


class Pairs(NamedTuple):
    """Pairs by number, each made when `at` asks for it."""

    numbers: Sequence[int]
    at: Callable[[int], Pair]

    def texts(self) -> Iterator[str]:
        """Both sides of up to SPOKEN pairs, spread evenly: what a tokenizer may be trained on."""
        for number in self.numbers[:: -(-len(self.numbers) // SPOKEN) or 1]:
            pair = self.at(number)
            yield pair.source
            yield pair.target


def filled(pairs: Iterable[Pair]) -> list[Pair]:
    """Without the spaces at their ends, and without those that are then empty on a side."""
    bare = (Pair(source.strip(), target.strip(), place) for source, target, place in pairs)
    return [pair for pair in bare if pair.source and pair.target]


@dataclass(frozen=True)
class Hub:
    """Pairs from two columns of a data set, less those empty on a side. `mender` makes, of the
    first pairs of a split, what mends each."""

    name: str
    config: str
    columns: tuple[str, str]
    mender: Mender = lambda first: lambda pair: pair

    @property
    def apart(self) -> frozenset[Split]:
        return frozenset({"validation", "test"})

    def stamps(self) -> dict[Split, Any]:
        """The library's own fingerprint, which follows revisions and local files."""
        return {"training": self._table("training")._fingerprint}

    def _table(self, split: Split) -> Any:
        return open_hub(self.name, self.config, HUB_SPLITS[split], self.columns)

    def pairs(self, split: Split) -> Pairs:
        table = self._table(split)
        rows = filled_rows(table, self.columns)

        def at(row: int) -> Pair:
            cells, place = table[row], f"{self.name}, {HUB_SPLITS[split]}, row {row + 1}"
            source, target = (cells[column].strip() for column in self.columns)
            return Pair(source, target, place)

        mend = self.mender([at(row) for row in rows[:LOOKED_AT]])
        return Pairs(rows, lambda row: mend(at(row)))


class Local:
    """Pairs of local texts, each of one file or more.

    Texts with a part of `validation` or `test` in a file's name are held out, and all others are
    training text, less the pairs of which one of the first `sides` sides also stands, by its
    letters and digits, in held-out text. `read` gives a text's pairs.
    """

    def __init__(
        self,
        texts: Sequence[Files],
        read: Callable[[Files], list[Pair]],
        validation: Parts,
        test: Parts,
        encoder_decoder: int = 2,
    ) -> None:
        self.read, self.encoder_decoder = read, encoder_decoder
        self.parts: dict[Split, list[str]] = {"validation": _list(validation), "test": _list(test)}
        self.texts: dict[Split, list[Files]] = {"training": [], "validation": [], "test": []}
        for files in texts:
            self.texts[self._split_of(files)].append(files)

    @property
    def apart(self) -> frozenset[Split]:
        return frozenset(split for split in self.parts if self.texts[split])

    def stamps(self) -> dict[Split, Any]:
        """What changes when a file does, or its split."""
        return {
            split: [[stamp(file) for file in files] for files in texts]
            for split, texts in self.texts.items()
        }

    def pairs(self, split: Split) -> Pairs:
        """UserError if there are none."""
        pairs = self._clean if split == "training" else self._read(split)
        if not pairs:
            raise UserError(
                f"data.path holds no {split} pairs (held out by their names: {self.parts}): "
                "give more files, or change data.validation or data.test"
            )
        return Pairs(range(len(pairs)), pairs.__getitem__)

    @cached_property
    def _clean(self) -> list[Pair]:
        held_out = {side for s in self.parts for pair in self._read(s) for side in self._keys(pair)}
        pairs = self._read("training")
        return [p for p in pairs if not held_out or held_out.isdisjoint(self._keys(p))]

    def _keys(self, pair: Pair) -> list[tuple[int, str]]:
        return [(side, folded(pair[side])) for side in range(self.encoder_decoder)]

    def _read(self, split: Split) -> list[Pair]:
        return [pair for files in self.texts[split] for pair in self.read(files)]

    def _split_of(self, files: Files) -> Split:
        claims: list[Split] = [
            split
            for split, parts in self.parts.items()
            if any(part in file.name for part in parts for file in files)
        ]
        if len(claims) > 1:
            raise UserError(
                f"{files[0]} is claimed by data.validation={self.parts['validation']} and by "
                f"data.test={self.parts['test']}: give them different parts of file names"
            )
        return claims[0] if claims else "training"


def _list(parts: Parts) -> list[str]:
    return [part for part in ([parts] if isinstance(parts, str) else parts or ()) if part]
