"""CNN/DailyMail: articles to be summarized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from litdraft.data.readers.splits import Files, Hub, Local, NameParts, Pair, filled
from litdraft.data.readers.tables import ENDINGS, open_table
from litdraft.data.readers.text_files import Paths, files_of
from litdraft.data.sources.examples import Example, LazyExamples, Segment, Split
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer

COLUMNS = ("article", "highlights")


class CNNDailyMail:
    """Each example is a prompt with an article, then its highlights, one a line.

    The hub's own splits are used as they are. Local files go to the splits by their names, and
    training rows whose article is also in a held-out split are dropped. Rows without an article or
    highlights are skipped.
    """

    documents = False

    def __init__(
        self,
        path: Paths | None = None,
        hub: str = "abisee/cnn_dailymail",
        config: str = "3.0.0",
        validation: NameParts = "validation",
        test: NameParts = "test",
        prompt: str = "Summarize: {article}\nTL;DR:",
    ) -> None:
        self.path, self.hub, self.config, self.prompt = path, hub, config, prompt
        self.validation, self.test = validation, test
        if prompt.count("{article}") != 1:
            raise UserError(f"data.prompt={prompt!r} must contain {{article}} once")

    @property
    def own_splits(self) -> frozenset[Split]:
        return self._splits.own_splits

    def facts(self) -> dict[str, Any]:
        options = {name: getattr(self, name) for name in ("hub", "config", "prompt")}
        return {"class": "CNNDailyMail", **options, "files": self._splits.stamps()}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        pairs = self._splits.pairs(split)
        return LazyExamples(pairs.numbers, lambda _, number: self._example(pairs.get(number)))

    def texts(self) -> Iterator[str]:
        """Training pairs without prompts; a tokenizer may be trained on them."""
        return self._splits.pairs("training").texts()

    @cached_property
    def _splits(self) -> Hub | Local:
        if self.path is None:
            return Hub(self.hub, self.config, COLUMNS)
        texts = [(file,) for file in dict.fromkeys(files_of(self.path, ENDINGS))]
        return Local(texts, _rows, self.validation, self.test, compared_sides=1)

    def _example(self, row: Pair) -> Example:
        before, _, after = self.prompt.partition("{article}")
        prompt = (Segment(before), Segment(row.source, long=True), Segment(after))
        segments = [segment for segment in prompt if segment.text]
        return Example((*segments, Segment(" " + row.target, response=True)), location=row.location)


def _rows(files: Files) -> list[Pair]:
    rows = []
    for number, row in enumerate(open_table(files[0], COLUMNS), 1):
        location = f"{files[0]}, row {number}"
        article, highlights = (row[column] for column in COLUMNS)
        if not (isinstance(article, str) and isinstance(highlights, str)):
            raise UserError(f"{location}: article and highlights must both be text: fix the row")
        rows.append(Pair(article, highlights, location))
    return filled(rows)
