"""Whole texts, cut into rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.progress import track

from litdraft.data.continuations import write_at_temperatures
from litdraft.data.rows.row_cache import EncodedRow, cached_rows
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Examples, Split
from litdraft.data.sources.options import TextOptions, round_robin
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer


class Documents:
    """Rows of at most `length` tokens, each beginning with BOS.

    A row ends at a line's end if there is one in its second half. The whole row is trained on; as a
    prompt a row gives its first `opening` tokens.
    """

    def __init__(self, source: Examples, options: TextOptions) -> None:
        self.source, self.options = source, options

    def training(self, materials: Materials) -> Rows:
        rows = self._rows(materials, "training")
        if not self.options.rewritten:
            return rows
        opening, encoder = self.options.opening, self.options.encoder(materials)
        prompts = [row[:opening] for row in rows.token_lists() if len(row) > opening]
        if not prompts or opening >= encoder.length:
            raise UserError(
                f"no row is longer than data.opening={opening} tokens, which the target would "
                "continue: lower it, or give longer texts"
            )
        writer = materials.require_writer("data.responses=target")
        capacity = encoder.length - opening
        rows = write_at_temperatures(writer, prompts, capacity, self.options.temperatures)
        return self.options.with_loss_mask(rows)

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        rows = self._rows(materials, split)
        rows = rows.select(round_robin(rows.groups)[:count])
        most = self.options.encoder(materials, split).length - capacity
        lists = rows.token_lists()
        # Never the whole row: after a text's end there is nothing to generate.
        prompts = [max(1, min(self.options.opening, len(row) // 2, most)) for row in lists]
        return Rows.of(lists, prompts, [[1, len(row)] for row in lists], rows.groups)

    def _rows(self, materials: Materials, split: Split) -> Rows:
        materials.require_decoder_only(type(self.source).__module__.rpartition(".")[2])
        own_splits = self.source.own_splits
        rows = self._all_rows(materials, split if split in own_splits else "training")

        def content(index: int) -> bytes:
            return bytes(rows[index].tokens_T.numpy())

        return rows.select(self.options.split_indices(len(rows), split, own_splits, content))

    def _all_rows(self, materials: Materials, split: Split) -> Rows:
        encoder = self.options.encoder(materials)

        def make() -> Iterator[EncodedRow]:
            breaks, bos = line_ends(encoder.tokenizer), encoder.tokenizer.bos
            documents = self.source.examples(split, encoder.tokenizer)
            for document in track(documents, f"tokenizing {split} text", transient=True):
                for row in cut(encoder.document(document), encoder.length, breaks, bos):
                    yield EncodedRow(row, 1, [1, len(row)], document.group)

        return cached_rows(materials, [self.source.facts(), split, encoder.length], make)


def line_ends(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids whose piece ends a line: a newline, its byte piece, or GPT-2's letter for it."""
    marks = ("\n", "<0x0A>", "Ċ")
    ends = set()
    for token in range(tokenizer.size):
        with contextlib.suppress(IndexError):  # an id without a piece
            if tokenizer.piece(token).endswith(marks):
                ends.add(token)
    return frozenset(ends)


def cut(ids: list[int], length: int, breaks: frozenset[int], bos: int | None) -> list[list[int]]:
    """Rows of at most `length` tokens, cut after the last token in `breaks` of their second half
    if there is one."""
    rows = []
    while len(ids) > length:
        ends = (end for end in range(length, length // 2, -1) if ids[end - 1] in breaks)
        end = next(ends, length)
        rows.append(ids[:end])
        ids = ids[end:] if bos is None else [bos, *ids[end:]]
    return [*rows, ids] if len(ids) > 1 else rows
