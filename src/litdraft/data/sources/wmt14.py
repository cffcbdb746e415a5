"""WMT14 news translation, or any other parallel text, as prompts with translations."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any

from litdraft.data.readers.detokenize import detokenized, looks_tokenised
from litdraft.data.readers.parallel_corpora import (
    find_bitexts,
    language_codes,
    language_name,
    read_bitext,
)
from litdraft.data.readers.splits import Files, Hub, Local, NameParts, Pair
from litdraft.data.readers.text_files import Paths
from litdraft.data.sources.examples import Example, LazyExamples, Segment, Split
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer

PROMPT = "Translate {source_language} to {target_language}: {source}\n{target_language}:"
OPTIONS = ("hub", "source", "target", "shots", "seed", "restore", "prompt")


class WMT14:
    """Each example is a prompt with one source line, then its translation.

    The hub's own splits are used as they are. Local files go to the splits by their names, and
    training pairs with a line that is also in a held-out split are dropped. Pairs with an empty
    side are skipped. `shots`: how many training pairs, drawn with `seed`, come before every prompt
    as solved examples; they are not trained on. restore="auto": undo tokenisation if the text looks
    tokenised.
    """

    documents = False

    def __init__(
        self,
        path: Paths | Mapping[str, Any] | None = None,
        hub: str = "wmt/wmt14",
        source: str = "de",
        target: str = "en",
        shots: int = 0,
        validation: NameParts = "newstest2013",
        test: NameParts = "newstest2014",
        restore: bool | str = "auto",
        prompt: str = PROMPT,
        seed: int = 0,
    ) -> None:
        self.path, self.hub, self.shots, self.seed = path, hub, shots, seed
        self.source, self.target = language_codes(source)[0], language_codes(target)[0]
        self.validation, self.test = validation, test
        self.restore, self.prompt = restore, prompt
        self._check()

    @property
    def own_splits(self) -> frozenset[Split]:
        return self._splits.own_splits

    def facts(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in OPTIONS}
        return {"class": "WMT14", **options, "files": self._splits.stamps()}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        pairs = self._splits.pairs(split)
        shots, before = self._shots
        numbers = pairs.numbers
        if shots and split == "training":
            numbers = [number for number in numbers if number not in shots]
        return LazyExamples(numbers, lambda _, number: self._example(before, pairs.get(number)))

    def texts(self) -> Iterator[str]:
        """Training pairs without prompts; a tokenizer may be trained on them."""
        return self._splits.pairs("training").texts()

    def _check(self) -> None:
        if self.source == self.target:
            raise UserError(
                f"data.source and data.target are both {self.source}: give two languages"
            )
        if self.shots < 0:
            raise UserError(f"data.shots={self.shots} must be 0 or more")
        if self.restore not in (True, False, "auto"):
            raise UserError(f"data.restore={self.restore} must be auto, true or false")
        try:
            named_once = self._prompt("\0").count("\0") == 1
        except (LookupError, ValueError, AttributeError):
            named_once = False
        if not named_once:
            raise UserError(
                f"data.prompt={self.prompt!r} must contain {{source}} once, and otherwise only "
                "{source_language} and {target_language}"
            )

    def _prompt(self, text: str) -> str:
        source, target = language_name(self.source), language_name(self.target)
        return self.prompt.format(source=text, source_language=source, target_language=target)

    def _example(self, before: str, pair: Pair) -> Example:
        segments = (
            Segment(before + self._prompt(pair.source)),
            Segment(" " + pair.target, response=True),
        )
        return Example(segments, location=pair.location)

    @cached_property
    def _shots(self) -> tuple[set[int], str]:
        """Their indices in the training text, and the text that comes before every prompt."""
        if not self.shots:
            return set(), ""  # then held-out text can be read without training text
        numbers, get = self._splits.pairs("training")
        if self.shots >= len(numbers):
            raise UserError(
                f"data.shots={self.shots}, but there are {len(numbers)} training pairs, and some "
                "must remain to train on: lower it or give more text"
            )
        shots = random.Random(self.seed).sample(numbers, self.shots)
        solved = [f"{self._prompt(get(n).source)} {get(n).target}\n\n" for n in shots]
        return set(shots), "".join(solved)

    @cached_property
    def _splits(self) -> Hub | Local:
        if self.path is None:
            # The hub names its configurations after the other language, then English.
            config = "-".join(sorted((self.source, self.target), key=lambda code: code == "en"))
            columns = (f"translation.{self.source}", f"translation.{self.target}")
            return Hub(self.hub, config, columns, self._detokenizer)
        texts = find_bitexts(self.path, self.source, self.target)
        return Local(texts, self._read, self.validation, self.test)

    def _read(self, files: Files) -> list[Pair]:
        pairs = read_bitext(files, self.source, self.target)
        return list(map(self._detokenizer(pairs), pairs))

    def _detokenizer(self, pairs: list[Pair]) -> Callable[[Pair], Pair]:
        source = self._line_detokenizer([pair.source for pair in pairs], self.source)
        target = self._line_detokenizer([pair.target for pair in pairs], self.target)
        return lambda pair: Pair(source(pair.source), target(pair.target), pair.location)

    def _line_detokenizer(self, lines: list[str], language: str) -> Callable[[str], str]:
        """Undoes the tokenisation of a line; `str` if the lines are not tokenised."""
        tokenised = looks_tokenised(lines) if self.restore == "auto" else self.restore
        return partial(detokenized, language=language) if tokenised else str
