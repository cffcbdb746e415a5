"""WMT14 news translation, or any other parallel text, as prompts with translations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from litdraft.data.readers.detokenize import looks_tokenised, restored
from litdraft.data.readers.parallel_corpora import (
    find_bitexts,
    language_name,
    read_bitext,
    spellings,
)
from litdraft.data.readers.splits import Files, Hub, Local, Pair, Parts
from litdraft.data.readers.text_files import Paths
from litdraft.data.sources.examples import Example, Mapped, Piece, Split
from litdraft.errors import UserError
from litdraft.tokenizers.load import Tokenizer

PROMPT = "Translate {source_language} to {target_language}: {source}\n{target_language}:"
CHOICES = ("hub", "source", "target", "shots", "seed", "restore", "prompt")


class WMT14:
    """Each example is a prompt with one source line, then its translation.

    From the hub its own splits are used; local files are dealt out by their names, and training
    pairs of which a line is also held out are dropped. Pairs with an empty side are skipped. With
    `shots`, so many training pairs, drawn with `seed`, stand answered before every prompt, and are
    not trained on. restore="auto" looks whether a text is tokenised.
    """

    documents = False

    def __init__(
        self,
        path: Paths | Mapping[str, Any] | None = None,
        hub: str = "wmt/wmt14",
        source: str = "de",
        target: str = "en",
        shots: int = 0,
        validation: Parts = "newstest2013",
        test: Parts = "newstest2014",
        restore: bool | str = "auto",
        prompt: str = PROMPT,
        seed: int = 0,
    ) -> None:
        self.path, self.hub, self.shots, self.seed = path, hub, shots, seed
        self.source, self.target = spellings(source)[0], spellings(target)[0]
        self.validation, self.test = validation, test
        self.restore, self.prompt = restore, prompt
        self._check()

    @property
    def apart(self) -> frozenset[Split]:
        return self._splits.apart

    def facts(self) -> dict[str, Any]:
        choices = {name: getattr(self, name) for name in CHOICES}
        return {"class": "WMT14", **choices, "files": self._splits.stamps()}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        pairs = self._splits.pairs(split)
        shots, before = self._shots
        numbers = pairs.numbers
        if shots and split == "training":
            numbers = [number for number in numbers if number not in shots]
        return Mapped(numbers, lambda _, number: self._example(before, pairs.at(number)))

    def texts(self) -> Iterator[str]:
        """Pairs to train on, without prompts: what a tokenizer may be trained on."""
        return self._splits.pairs("training").texts()

    def _check(self) -> None:
        if self.source == self.target:
            raise UserError(f"data.source and data.target are both {self.source}: give two")
        if self.shots < 0:
            raise UserError(f"data.shots={self.shots} must be 0 or more")
        if self.restore not in (True, False, "auto"):
            raise UserError(f"data.restore={self.restore} must be auto, true or false")
        try:
            named_once = self._asked("\0").count("\0") == 1
        except (LookupError, ValueError, AttributeError):
            named_once = False
        if not named_once:
            raise UserError(
                f"data.prompt={self.prompt!r} must name {{source}} once, and nothing else but "
                "{source_language} and {target_language}"
            )

    def _asked(self, text: str) -> str:
        source, target = language_name(self.source), language_name(self.target)
        return self.prompt.format(source=text, source_language=source, target_language=target)

    def _example(self, before: str, pair: Pair) -> Example:
        pieces = (Piece(before + self._asked(pair.source)), Piece(" " + pair.target, written=True))
        return Example(pieces, place=pair.place)

    @cached_property
    def _shots(self) -> tuple[set[int], str]:
        """Their numbers in the training text, and what stands before every prompt."""
        if not self.shots:
            return set(), ""  # then held-out text needs no training text beside it
        numbers, at = self._splits.pairs("training")
        if self.shots >= len(numbers):
            raise UserError(
                f"data.shots={self.shots}, but there are {len(numbers)} training pairs, and some "
                "must be left to train on: lower it or give more text"
            )
        shots = random.Random(self.seed).sample(numbers, self.shots)
        answered = [f"{self._asked(at(n).source)} {at(n).target}\n\n" for n in shots]
        return set(shots), "".join(answered)

    @cached_property
    def _splits(self) -> Hub | Local:
        if self.path is None:
            # The hub names its configurations after the other language, then English.
            config = "-".join(sorted((self.source, self.target), key=lambda code: code == "en"))
            columns = (f"translation.{self.source}", f"translation.{self.target}")
            return Hub(self.hub, config, columns, self._mender)
        texts = find_bitexts(self.path, self.source, self.target)
        return Local(texts, self._read, self.validation, self.test)

    def _read(self, files: Files) -> list[Pair]:
        pairs = read_bitext(files, self.source, self.target)
        return list(map(self._mender(pairs), pairs))

    def _mender(self, pairs: list[Pair]) -> Callable[[Pair], Pair]:
        source = self._line_mender([pair.source for pair in pairs], self.source)
        target = self._line_mender([pair.target for pair in pairs], self.target)
        return lambda pair: Pair(source(pair.source), target(pair.target), pair.place)

    def _line_mender(self, lines: list[str], language: str) -> Callable[[str], str]:
        """What makes a line normal; `str` where the lines are already."""
        tokenised = looks_tokenised(lines) if self.restore == "auto" else self.restore
        return partial(restored, language=language) if tokenised else str
