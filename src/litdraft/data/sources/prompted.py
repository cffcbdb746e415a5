"""Prompts with responses: one example is one row."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.progress import track

from litdraft.data.continuations import write_at_temperatures
from litdraft.data.rows.encoding import Cuts, Encoder
from litdraft.data.rows.row_cache import EncodedRow, cached_rows, report_cuts
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Example, Examples, Split, prompt_text, response_text
from litdraft.data.sources.options import TextOptions, round_robin
from litdraft.errors import UserError


class Prompted:
    """Training rows are prompts with their responses; held-out rows are prompts, with the response
    as their reference.

    Without a target, held-out rows keep their own responses, which the loss is measured on.
    """

    def __init__(self, source: Examples, options: TextOptions) -> None:
        self.source, self.options = source, options

    def training(self, materials: Materials) -> Rows:
        options = self.options
        if options.rewritten:
            writer = materials.require_writer("data.responses=target")
            limit = options.response_tokens
            prompts = self._rows(materials, "training", limit).prompts()
            rows = write_at_temperatures(writer, prompts, limit, options.temperatures)
            return options.with_loss_mask(rows)
        rows = self._rows(materials, "training", None)
        self._check_mask(rows)
        return rows

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        return self._rows(materials, split, None if materials.spec is None else capacity, count)

    def _rows(
        self, materials: Materials, split: Split, capacity: int | None, count: int | None = None
    ) -> Rows:
        """Prompts with space for `capacity` tokens after them, or, with None, prompts and
        responses; with a `count`, so many of them, taking the groups in turn."""
        options, source = self.options, self.source
        encoder = options.encoder(materials, split)

        def make() -> Iterator[EncodedRow]:
            own = split if split in source.own_splits else "training"
            examples = source.examples(own, encoder.tokenizer)
            indices = self._chosen(examples, split, count)
            cuts, encoded = Cuts(), 0
            for index in track(indices, f"tokenizing {split} prompts", transient=True):
                row = self._row(encoder, examples[index], capacity, cuts)
                if row is not None:
                    encoded += 1
                    yield row
            report_cuts(f"{split} text", encoded, cuts, options.truncate)

        facts = [source.facts(), split, encoder.length, capacity, options.truncate, options.loss]
        facts += [options.held_out_rows, options.samples, options.split_seed, count]
        return cached_rows(materials, facts, make)

    def _chosen(self, examples: Sequence[Example], split: Split, count: int | None) -> list[int]:
        """The indices of this split's examples; with a `count`, so many, groups in turn."""

        def content(index: int) -> str | int:
            return prompt_text(examples[index]) or index

        own_splits = self.source.own_splits
        indices = self.options.split_indices(len(examples), split, own_splits, content)
        if count is None:
            return indices
        chosen = round_robin([examples[index].group for index in indices])[:count]
        return [indices[i] for i in chosen]

    def _row(
        self, encoder: Encoder, example: Example, capacity: int | None, cuts: Cuts
    ) -> EncodedRow | None:
        if capacity is not None:
            tokens = encoder.prompt(example, capacity, cuts)
            reference = response_text(example, encoder.tokenizer)
            return EncodedRow(tokens, len(tokens), [], example.group, reference)
        row = encoder.row(example, cuts)
        if row is None:
            return None
        spans = [1, len(row.tokens)] if self.options.loss == "all" else row.spans
        return EncodedRow(row.tokens, row.prompt, spans, example.group)

    def _check_mask(self, rows: Rows) -> None:
        """A loss mask that covers nothing, or everything, is a mistake in the data."""
        if not rows.trained_count():
            raise UserError(
                "no token would be trained on, because no row has a response that fits: give text "
                "with responses, data.responses=target, or a larger data.length"
            )
        everything = rows.token_count() - len(rows)
        if self.options.loss == "continuation" and rows.trained_count() >= everything:
            raise UserError(
                "every token would be trained on, because all prompts are empty: check the "
                "prompts, or give data.loss=all"
            )
