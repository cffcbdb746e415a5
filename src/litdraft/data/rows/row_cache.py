"""Encoded rows cached on disk, so that no text is tokenized twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
from rich.console import Console

from litdraft.data.continuations import cache_key
from litdraft.data.rows.arrow import Spans, write_tables
from litdraft.data.rows.encoding import Cuts
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.io import remove_leftovers, replacing
from litdraft.tokenizers.base import Tokenizer

FORMAT = 2  # raise it when the same text is encoded differently than before
ROWS_PER_TABLE = 4096  # rows written at a time


class EncodedRow(NamedTuple):
    """One row, as it is cached."""

    tokens: list[int]
    prompt: int
    spans: Spans
    group: str
    reference: str | None = None


def cached_rows(materials: Materials, facts: Any, make: Callable[[], Iterator[EncodedRow]]) -> Rows:
    """The rows that `make` yields, from the cache if the same facts and tokenizer made them before.
    One process makes them while the others wait."""
    fingerprint = tokenizer_fingerprint(materials.tokenizer)
    key = {"format": FORMAT, "text": facts, "tokenizer": fingerprint}
    if materials.encoder_decoder is not None:
        key["encoder_decoder"] = asdict(materials.encoder_decoder)
    path = materials.cache / "rows" / f"{cache_key(key)}.arrow"

    def encode_all() -> None:
        if Rows.load(path) is None:
            remove_leftovers(path.parent)
            with replacing(path) as temporary:
                write_tables(temporary, _tables(make()))

    materials.distributed.run_once(encode_all)
    rows = Rows.load(path)
    assert rows is not None
    return rows


def _tables(rows: Iterator[EncodedRow]) -> Iterator[pa.Table]:
    while some := list(islice(rows, ROWS_PER_TABLE)):
        tokens, prompts, spans, groups, references = zip(*some, strict=True)
        yield Rows.of(tokens, prompts, spans, groups, references).table[:]


def report_cuts(what: str, rows: int, cuts: Cuts, truncate: str) -> None:
    """Print one line if anything was cut or left out."""
    counts = (
        (cuts.prompts, f"prompts cut (data.truncate={truncate})"),
        (cuts.responses, "responses cut at the end"),
        (cuts.dropped, "rows left out because they have no response, or none that fits"),
    )
    parts = [f"{count:,} {description}" for count, description in counts if count]
    if parts:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"{what}: {rows:,} rows; {', '.join(parts)}")


def tokenizer_fingerprint(tokenizer: Tokenizer) -> str:
    """A hash of everything that decides how texts are encoded."""
    facts = repr((tokenizer.bos, tokenizer.eos, tokenizer.template)).encode()
    return hashlib.sha256(facts + tokenizer.content()).hexdigest()[:16]
