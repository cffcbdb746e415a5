"""Encoded rows, kept on disk so that no text is tokenized twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
from rich.console import Console

from litdraft.data.continuations import key_of
from litdraft.data.rows.encoding import Cuts
from litdraft.data.rows.rows import Rows, Spans, write
from litdraft.data.sources.base import Materials
from litdraft.io import replacing, tidy
from litdraft.tokenizers.load import Tokenizer

FORMAT = 2  # raise it when rows of the same text would come out otherwise
SOME = 4096  # rows written at a time


class Kept(NamedTuple):
    """One row to keep."""

    tokens: list[int]
    prompt: int
    spans: Spans
    group: str
    reference: str | None = None


def kept(materials: Materials, facts: Any, make: Callable[[], Iterator[Kept]]) -> Rows:
    """What `make` yields, from the cache where the same facts and tokenizer made it before. One
    process makes it, the others wait."""
    told = {"format": FORMAT, "text": facts, "tokenizer": tokenizer_mark(materials.tokenizer)}
    if materials.encoder_decoder is not None:
        told["encoder_decoder"] = asdict(materials.encoder_decoder)
    path = materials.cache / "rows" / f"{key_of(told)}.arrow"

    def once() -> None:
        if Rows.load(path) is None:
            tidy(path.parent)
            with replacing(path) as temporary:
                write(temporary, _tables(make()))

    materials.share.once(once)
    rows = Rows.load(path)
    assert rows is not None
    return rows


def _tables(rows: Iterator[Kept]) -> Iterator[pa.Table]:
    while some := list(islice(rows, SOME)):
        tokens, prompts, spans, groups, references = zip(*some, strict=True)
        yield Rows.of(tokens, prompts, spans, groups, references).table[:]


def tell_cuts(what: str, rows: int, cuts: Cuts, truncate: str) -> None:
    """One line, if anything was cut."""
    parts = [
        f"{count:,} {told}"
        for count, told in (
            (cuts.prompts, f"prompts cut (data.truncate={truncate})"),
            (cuts.responses, "responses cut at the end"),
            (cuts.dropped, "rows left out, which have no response or none that fits"),
        )
        if count
    ]
    if parts:
        console = Console(stderr=True, highlight=False, soft_wrap=True)
        console.print(f"{what}: {rows:,} rows; {', '.join(parts)}")


def tokenizer_mark(tokenizer: Tokenizer) -> str:
    """A hash of all that decides how texts are encoded."""
    facts = repr((tokenizer.bos, tokenizer.eos, tokenizer.template)).encode()
    return hashlib.sha256(facts + tokenizer.content()).hexdigest()[:16]
