"""CNN/DailyMail: articles to be summarized."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

from litdraft.data.readers.splits import Files, Hub, Local, Pair, Parts, filled
from litdraft.data.readers.tables import ENDINGS, open_table
from litdraft.data.readers.text_files import Paths, files_of
from litdraft.data.sources.examples import Example, Mapped, Piece, Split
from litdraft.errors import UserError
from litdraft.tokenizers.load import Tokenizer

COLUMNS = ("article", "highlights")


class CNNDailyMail:
    """Each example is a prompt with an article, then its highlights, one a line.

    From the hub its own splits are used as they are; local files are dealt out by their names, and
    training rows whose article is also held out are dropped. Rows without an article or highlights
    are skipped.
    """

    documents = False

    def __init__(
        self,
        path: Paths | None = None,
        hub: str = "abisee/cnn_dailymail",
        config: str = "3.0.0",
        validation: Parts = "validation",
        test: Parts = "test",
        prompt: str = "Summarize: {article}\nTL;DR:",
    ) -> None:
        self.path, self.hub, self.config, self.prompt = path, hub, config, prompt
        self.validation, self.test = validation, test
        if prompt.count("{article}") != 1:
            raise UserError(f"data.prompt={prompt!r} must name {{article}} once")

    @property
    def apart(self) -> frozenset[Split]:
        return self._splits.apart

    def facts(self) -> dict[str, Any]:
        choices = {name: getattr(self, name) for name in ("hub", "config", "prompt")}
        return {"class": "CNNDailyMail", **choices, "files": self._splits.stamps()}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        pairs = self._splits.pairs(split)
        return Mapped(pairs.numbers, lambda _, number: self._example(pairs.at(number)))

    def texts(self) -> Iterator[str]:
        """Pairs to train on, without prompts: what a tokenizer may be trained on."""
        return self._splits.pairs("training").texts()

    @cached_property
    def _splits(self) -> Hub | Local:
        if self.path is None:
            return Hub(self.hub, self.config, COLUMNS)
        texts = [(file,) for file in dict.fromkeys(files_of(self.path, ENDINGS))]
        return Local(texts, _rows, self.validation, self.test, encoder_decoder=1)

    def _example(self, row: Pair) -> Example:
        before, _, behind = self.prompt.partition("{article}")
        asked = (Piece(before), Piece(row.source, long=True), Piece(behind))
        pieces = [piece for piece in asked if piece.text]
        return Example((*pieces, Piece(" " + row.target, written=True)), place=row.place)


def _rows(files: Files) -> list[Pair]:
    rows = []
    for number, row in enumerate(open_table(files[0], COLUMNS), 1):
        place = f"{files[0]}, row {number}"
        article, highlights = (row[column] for column in COLUMNS)
        if not (isinstance(article, str) and isinstance(highlights, str)):
            raise UserError(f"{place}: article and highlights must both be text: mend the row")
        rows.append(Pair(article, highlights, place))
    return filled(rows)
