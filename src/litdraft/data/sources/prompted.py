"""Prompts with responses: one example is one row."""

from __future__ import annotations

from collections.abc import Iterator

from rich.progress import track

from litdraft.data.continuations import dealt_out
from litdraft.data.rows.encoding import Cuts, Encoder
from litdraft.data.rows.row_cache import Kept, kept, tell_cuts
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Example, Examples, Split, given_in, written_in
from litdraft.data.sources.options import TextOptions, in_turn
from litdraft.errors import UserError


class Prompted:
    """Rows to train on are prompts and what is written behind them; held-out rows are prompts,
    with that text beside them as their reference.

    Without a target held-out rows keep their own responses, to be judged by.
    """

    def __init__(self, source: Examples, options: TextOptions) -> None:
        self.source, self.options = source, options

    def training(self, materials: Materials) -> Rows:
        options = self.options
        if options.rewritten:
            writer = materials.needed_writer("data.responses=target")
            prompts = self._rows(materials, "training", options.response_tokens).prompts()
            rows = dealt_out(writer, prompts, options.response_tokens, options.temperatures)
            return options.masked(rows)
        rows = self._rows(materials, "training", None)
        self._check_mask(rows)
        return rows

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        return self._rows(materials, split, None if materials.spec is None else capacity, count)

    def _rows(
        self, materials: Materials, split: Split, capacity: int | None, count: int | None = None
    ) -> Rows:
        """Prompts with `room` behind them, or, with None, prompts and responses; with a count, so
        many of them, groups in turn."""
        options, source = self.options, self.source
        encoder = options.encoder(materials, split)

        def make() -> Iterator[Kept]:
            apart = split if split in source.apart else "training"
            examples = source.examples(apart, encoder.tokenizer)
            cuts, encoded = Cuts(), 0
            places = options.dealt(
                len(examples), split, source.apart, lambda place: given_in(examples[place]) or place
            )
            if count is not None:
                chosen = in_turn([examples[place].group for place in places])[:count]
                places = [places[number] for number in chosen]
            for place in track(places, f"{split} prompts", transient=True):
                row = self._row(encoder, examples[place], capacity, cuts)
                if row is not None:
                    encoded += 1
                    yield row
            tell_cuts(f"{split} text", encoded, cuts, options.truncate)

        facts = [source.facts(), split, encoder.length, capacity, options.truncate, options.loss]
        facts += [options.held_out_rows, options.samples, options.split_seed, count]
        return kept(materials, facts, make)

    def _row(
        self, encoder: Encoder, example: Example, capacity: int | None, cuts: Cuts
    ) -> Kept | None:
        if capacity is not None:
            tokens = encoder.prompt(example, capacity, cuts)
            reference = written_in(example, encoder.tokenizer)
            return Kept(tokens, len(tokens), [], example.group, reference)
        row = encoder.row(example, cuts)
        if row is None:
            return None
        everything = self.options.loss == "all"
        spans = [1, len(row.tokens)] if everything else row.written
        return Kept(row.tokens, row.prompt, spans, example.group)

    def _check_mask(self, rows: Rows) -> None:
        """A loss mask that covers nothing, or everything, is a mistake in the text."""
        if not rows.trained():
            raise UserError(
                "no token would be trained on, because no row has a response that fits: give text "
                "with responses, data.responses=target, or a larger data.length"
            )
        if self.options.loss == "continuation" and rows.trained() >= rows.tokens() - len(rows):
            raise UserError(
                "every token would be trained on, because all prompts are empty: check the "
                "prompts, or say data.loss=all"
            )
