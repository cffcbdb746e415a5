"""How rows are laid out in an Arrow table, and reading whole columns of it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa

Spans = list[int]  # begin, end, begin, end, ...

FEATURES = datasets.Features(
    {
        "tokens": datasets.List(datasets.Value("int32")),
        "prompt": datasets.Value("int32"),
        "spans": datasets.List(datasets.Value("int32")),
        "group": datasets.Value("string"),
        "reference": datasets.Value("string"),  # null: none
    }
)


def write_tables(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write tables of FEATURES, one after the other, as one Arrow stream."""
    schema = FEATURES.arrow_schema
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        for table in tables:
            stream.write_table(table.cast(schema).combine_chunks())


def flat_values(table: pa.Table, column: str) -> Any:
    """The numbers of a list column, all rows concatenated."""
    chunks = [chunk.flatten().to_numpy() for chunk in table[column].chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def row_lengths(table: pa.Table) -> list[int]:
    lengths: list[int] = pa.compute.list_value_length(table["tokens"]).to_pylist()
    return lengths


def trained_mask(table: pa.Table) -> Any:
    """For every token of a table, all rows concatenated: whether it is inside a span."""
    lengths = np.asarray(row_lengths(table))
    pairs = np.asarray(pa.compute.list_value_length(table["spans"])) // 2
    first = np.repeat(lengths.cumsum() - lengths, pairs)  # where each span's row begins
    edges = np.zeros(lengths.sum() + 1, np.int64)
    spans = flat_values(table, "spans").astype(np.int64)
    np.add.at(edges, first + spans[::2], 1)
    np.add.at(edges, first + spans[1::2], -1)
    return edges.cumsum()[:-1] > 0
