"""WMT14 news translation, or any other parallel text, as prompts with translations."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

from litdraft.data.examples import Example, Mapped, Piece, Split
from litdraft.data.files import Paths, stamp
from litdraft.data.parallel import (
    Bitext,
    Pair,
    find_bitexts,
    language_name,
    spellings,
    translation,
)
from litdraft.data.restored import folded, looks_tokenised, restored
from litdraft.data.tables import HUB_SPLITS, Table, name_parts, open_hub, split_of
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer

PROMPT = "Translate {source_language} to {target_language}: {source}\n{target_language}:"
LOOKED_AT = 200  # rows of the hub's, to see whether they are tokenised


class Pairs(NamedTuple):
    """`size` pairs, made one by one by `pair` when they are asked for."""

    size: int
    pair: Callable[[int], Pair]


class WMT14:
    """Each example is a prompt with one source line, then its translation.

    From the hub its own splits are used as they are. Of local files those with a part of
    `validation` or `test` in their names are held out, and all others are training text, less the
    pairs of which a line also stands, by its letters and digits, in a held-out file: `dropped` of
    them. With `shots`, so many training pairs, drawn with `seed`, stand answered before every
    prompt, and are not trained on. restore="auto" looks whether a text is tokenised.
    """

    documents = False

    def __init__(
        self,
        path: Paths | Mapping[str, Any] | None = None,
        hub: str = "wmt/wmt14",
        source: str = "de",
        target: str = "en",
        shots: int = 0,
        validation: str | Sequence[str] | None = "newstest2013",
        test: str | Sequence[str] | None = "newstest2014",
        restore: bool | str = "auto",
        prompt: str = PROMPT,
        seed: int = 0,
    ) -> None:
        self.path, self.hub, self.shots, self.seed = path, hub, shots, seed
        self.source, self.target = spellings(source)[0], spellings(target)[0]
        self.held_out: dict[Split, list[str]] = {
            "validation": name_parts(validation),
            "test": name_parts(test),
        }
        self.restore, self.prompt = restore, prompt
        self._check()

    @property
    def apart(self) -> frozenset[Split]:
        if self.path is None:
            return frozenset(self.held_out)
        return frozenset(split for split in self.held_out if self._bitexts[split])

    @property
    def dropped(self) -> int:
        """How many local training pairs were left out, because a held-out file has their lines."""
        return 0 if self.path is None else self._clean[1]

    def facts(self) -> dict[str, Any]:
        texts = [] if self.path is None else [t for s in self._bitexts.values() for t in s]
        choices = ("hub", "source", "target", "shots", "seed", "held_out", "restore", "prompt")
        files = [[stamp(file) for file in text.files] for text in texts]
        return {
            "class": "WMT14",
            "local": self.path is not None,
            **{choice: getattr(self, choice) for choice in choices},
            "files": files,
        }

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        count, pair = self._pairs(split)
        indices: Sequence[int] = range(count)
        if split == "training" and self.shots:
            shots = set(self._shots)
            indices = [index for index in indices if index not in shots]
        before = "".join(f"{shot}\n\n" for shot in self._answered)
        return Mapped(indices, lambda _, index: self._example(before, pair(index)))

    def _check(self) -> None:
        if self.source == self.target:
            raise UserError(f"data.source and data.target are both {self.source}: give two")
        if self.shots < 0:
            raise UserError(f"data.shots={self.shots} must be 0 or more")
        if self.restore not in (True, False, "auto"):
            raise UserError(f"data.restore={self.restore} must be auto, true or false")
        try:
            if self._asked("\0").count("\0") != 1:
                raise ValueError
        except (LookupError, ValueError, AttributeError):
            raise UserError(
                f"data.prompt={self.prompt!r} must name {{source}} once, and nothing else but "
                "{source_language} and {target_language}"
            ) from None

    def _asked(self, text: str) -> str:
        names = {
            "source_language": language_name(self.source),
            "target_language": language_name(self.target),
        }
        return self.prompt.format(source=text, **names)

    def _example(self, before: str, pair: Pair) -> Example:
        pieces = (Piece(before + self._asked(pair.source)), Piece(" " + pair.target, written=True))
        return Example(pieces, place=pair.place)

    @cached_property
    def _shots(self) -> list[int]:
        """Places in the training text."""
        count = self._pairs("training").size
        if self.shots and self.shots >= count:
            raise UserError(
                f"data.shots={self.shots}, but there are {count} training pairs, and some must "
                "be left to train on: lower it or give more text"
            )
        return random.Random(self.seed).sample(range(count), self.shots)

    @cached_property
    def _answered(self) -> list[str]:
        if not self.shots:
            return []  # then held-out text needs no training text beside it
        pairs = map(self._pairs("training").pair, self._shots)
        return [f"{self._asked(pair.source)} {pair.target}" for pair in pairs]

    def _pairs(self, split: Split) -> Pairs:
        if self.path is None:
            return self._tables(split)
        pairs = self._clean[0] if split == "training" else self._local[split]
        if not pairs:
            raise UserError(
                f"data.path={self.path} holds no {split} pairs (held out by their names: "
                f"{self.held_out}): give more files, or change data.validation or data.test"
            )
        return Pairs(len(pairs), pairs.__getitem__)

    @cached_property
    def _bitexts(self) -> dict[Split, list[Bitext]]:
        assert self.path is not None
        splits: dict[Split, list[Bitext]] = {"training": [], "validation": [], "test": []}
        for text in find_bitexts(self.path, self.source, self.target):
            splits[split_of(text.names, self.held_out)].append(text)
        return splits

    @cached_property
    def _local(self) -> dict[Split, list[Pair]]:
        return {
            split: [pair for text in texts for pair in self._restored(text.pairs())]
            for split, texts in self._bitexts.items()
        }

    @cached_property
    def _clean(self) -> tuple[list[Pair], int]:
        """The training pairs that may be used, and how many others there are."""
        held_out = [pair for split in self.held_out for pair in self._local[split]]
        sources = {folded(pair.source) for pair in held_out}
        targets = {folded(pair.target) for pair in held_out}
        pairs = self._local["training"]
        if not held_out:
            return pairs, 0
        clean = [
            pair
            for pair in pairs
            if folded(pair.source) not in sources and folded(pair.target) not in targets
        ]
        return clean, len(pairs) - len(clean)

    def _restored(self, pairs: list[Pair]) -> list[Pair]:
        sides = [[pair.source for pair in pairs], [pair.target for pair in pairs]]
        sources, targets = self._menders(*sides)
        return [p._replace(source=sources(p.source), target=targets(p.target)) for p in pairs]

    def _menders(self, *sides: list[str]) -> list[Callable[[str], str]]:
        """For the source and the target what makes a line normal; `str` if it is already."""
        return [
            partial(restored, language=language)
            if self.restore is True or (self.restore == "auto" and looks_tokenised(lines))
            else str
            for lines, language in zip(sides, (self.source, self.target), strict=True)
        ]

    def _tables(self, split: Split) -> Pairs:
        if split not in self._opened:
            table, place = self._table(split), f"{self.hub}, {HUB_SPLITS[split]}"

            def both(row: dict[str, Any]) -> tuple[str, str]:
                return translation(row, self.source, self.target, place)

            first = [both(table[row]) for row in range(min(LOOKED_AT, len(table)))]
            sources, targets = self._menders(*([pair[side] for pair in first] for side in (0, 1)))

            def pair(index: int) -> Pair:
                source, target = both(table[index])
                return Pair(sources(source.strip()), targets(target.strip()))

            self._opened[split] = Pairs(len(table), pair)
        return self._opened[split]

    @cached_property
    def _opened(self) -> dict[Split, Pairs]:
        return {}

    def _table(self, split: Split) -> Table:
        """The hub names its configurations after the other language, then English."""
        config = "-".join(sorted((self.source, self.target), key=lambda code: code == "en"))
        return open_hub(self.hub, config, HUB_SPLITS[split], ["translation"])
