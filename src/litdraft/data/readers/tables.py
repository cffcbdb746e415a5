"""Tables of text: .csv, .tsv, .jsonl and .parquet files, and data sets of the Hugging Face hub."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.compute
import pyarrow.parquet

from litdraft.data.readers.text_files import json_lines, read_text
from litdraft.errors import UserError

ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl")


def open_table(file: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """A file's rows, each a dictionary of these columns.

    UserError if it is broken or empty, or lacks a column.
    """
    if file.suffix not in ENDINGS:
        raise UserError(f"{file} is not a table: give {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    read = {".parquet": _parquet, ".jsonl": _jsonl}.get(file.suffix, _csv)
    rows = list(read(file, columns))
    if not rows:
        raise UserError(f"{file} has no rows: give a file with at least one")
    return rows


def open_hub(name: str, config: str, split: str, columns: Sequence[str]) -> Any:
    """One split of a data set, memory-mapped: a name on the hub, or a folder with the same layout.
    The column "a.b" is the field b of the column a.

    No code from the hub runs. UserError if the data set cannot be reached or opened, or lacks a
    text column.
    """
    try:
        with _quiet():
            table = datasets.load_dataset(name, config, split=split).flatten()
    except (ConnectionError, FileNotFoundError) as error:
        raise UserError(
            f"{name} cannot be reached (no network, or no such data set): "
            "give data.path=... local .parquet, .csv or .jsonl files"
        ) from error
    except Exception as error:  # the library raises nothing narrower
        raise UserError(
            f"{name}: split {split!r} of {config!r} cannot be opened ({_first_line(error)}): "
            "give data.hub another data set, or data.path=... local files"
        ) from error
    dtypes = {key: getattr(column, "dtype", "") for key, column in table.features.items()}
    texts = [key for key, dtype in dtypes.items() if dtype in ("string", "large_string")]
    _check_columns(f"{name} ({config})", texts, columns, "text columns")
    return table


def filled_rows(table: Any, columns: Sequence[str]) -> list[int]:
    """The indices of a hub table's rows with a non-blank text in each of these columns."""
    filled = np.ones(len(table), dtype=bool)
    for column in columns:
        # One call for all rows: the millions of WMT14 would take minutes row by row.
        words = pyarrow.compute.match_substring_regex(table.data.column(column), r"[^\s\pZ]")
        filled &= words.fill_null(False).to_numpy()
    rows: list[int] = np.flatnonzero(filled).tolist()
    return rows


def _csv(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)  # articles outgrow the module's 128 KiB
    delimiter = "\t" if file.suffix == ".tsv" else ","
    reader = csv.reader(io.StringIO(read_text(file)), delimiter=delimiter, strict=True)
    try:
        names = next(reader)
        _check_columns(str(file), names, columns)
        indices = {column: names.index(column) for column in columns}
        for row in reader:
            if row and len(row) != len(names):
                raise UserError(
                    f"{file}, line {reader.line_num}: {len(row)} fields, but the header names "
                    f"{len(names)}: fix the line (a field with a comma or newline needs quotes)"
                )
            if row:
                yield {column: row[index] for column, index in indices.items()}
    except csv.Error as error:
        raise UserError(
            f"{file}, line {reader.line_num} is broken ({error}): fix its quotes"
        ) from error


def _jsonl(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for location, row in json_lines(file):
        _check_columns(location, list(row), columns)
        yield {column: row[column] for column in columns}


def _parquet(file: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    try:
        with pyarrow.parquet.ParquetFile(file) as parquet:
            _check_columns(str(file), parquet.schema_arrow.names, columns)
            rows: list[dict[str, Any]] = parquet.read(list(columns)).to_pylist()
    except (OSError, pyarrow.ArrowException) as error:
        raise UserError(
            f"{file} is not readable as a .parquet file ({_first_line(error)}): give another"
        ) from error
    return rows


def _check_columns(
    location: str, names: Sequence[str], columns: Sequence[str], what: str = "columns"
) -> None:
    if missing := [column for column in columns if column not in names]:
        raise UserError(
            f"{location} has the {what} {', '.join(names)}, but {', '.join(missing)} is needed: "
            "rename a column or give another file"
        )


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).split("\n")[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """Switch the library's progress bars off for a while."""
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not shown:
            datasets.enable_progress_bars()
