"""Whole texts, cut into rows."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from rich.progress import track

from litdraft.data.continuations import dealt_out
from litdraft.data.rows.row_cache import Kept, kept
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Examples, Split
from litdraft.data.sources.options import TextOptions, in_turn
from litdraft.errors import UserError
from litdraft.tokenizers.load import Tokenizer


class Documents:
    """Rows of at most `length` tokens, each behind a beginning-of-text token.

    A row ends at a line's end where one is near. All of it is trained on; as a prompt a row
    offers its first `opening` tokens.
    """

    def __init__(self, source: Examples, options: TextOptions) -> None:
        self.source, self.options = source, options

    def training(self, materials: Materials) -> Rows:
        rows = self._rows(materials, "training")
        if not self.options.rewritten:
            return rows
        opening, encoder = self.options.opening, self.options.encoder(materials)
        prompts = [row[:opening] for row in rows.lists() if len(row) > opening]
        if not prompts or opening >= encoder.length:
            raise UserError(
                f"no row is longer than data.opening={opening} tokens, behind which the target "
                "would write: lower it, or give longer texts"
            )
        writer = materials.needed_writer("data.responses=target")
        capacity = encoder.length - opening
        return self.options.masked(dealt_out(writer, prompts, capacity, self.options.temperatures))

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        rows = self._rows(materials, split)
        rows = rows.select(in_turn(rows.groups)[:count])
        lists, most = rows.lists(), self.options.encoder(materials, split).length - capacity
        # Never a whole row, behind whose end nothing is to be written.
        given = [max(1, min(self.options.opening, len(row) // 2, most)) for row in lists]
        return Rows.of(lists, given, [[1, len(row)] for row in lists], rows.groups)

    def _rows(self, materials: Materials, split: Split) -> Rows:
        materials.check_continues(type(self.source).__module__.rpartition(".")[2])
        apart = self.source.apart
        rows = self._cut(materials, split if split in apart else "training")

        def given(place: int) -> bytes:
            return bytes(rows[place].tokens_T.numpy())

        return rows.select(self.options.dealt(len(rows), split, apart, given))

    def _cut(self, materials: Materials, split: Split) -> Rows:
        encoder = self.options.encoder(materials)

        def make() -> Iterator[Kept]:
            breaks, bos = line_ends(encoder.tokenizer), encoder.tokenizer.bos
            documents = self.source.examples(split, encoder.tokenizer)
            for document in track(documents, f"{split} text", transient=True):
                for row in cut(encoder.document(document), encoder.length, breaks, bos):
                    yield Kept(row, 1, [1, len(row)], document.group)

        return kept(materials, [self.source.facts(), split, encoder.length], make)


def line_ends(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids whose piece ends a line: a newline, its byte piece, or GPT-2's letter for it."""
    marks = ("\n", "<0x0A>", "Ċ")
    ends = set()
    for token in range(tokenizer.size):
        with contextlib.suppress(IndexError):  # an id that a vocabulary skips
            if tokenizer.piece(token).endswith(marks):
                ends.add(token)
    return frozenset(ends)


def cut(ids: list[int], length: int, breaks: frozenset[int], bos: int | None) -> list[list[int]]:
    """Rows of at most `length`, cut behind a line's end if one stands in the second half."""
    rows = []
    while len(ids) > length:
        ends = (end for end in range(length, length // 2, -1) if ids[end - 1] in breaks)
        end = next(ends, length)
        rows.append(ids[:end])
        ids = ids[end:] if bos is None else [bos, *ids[end:]]
    return [*rows, ids] if len(ids) > 1 else rows
