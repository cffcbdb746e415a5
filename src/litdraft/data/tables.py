"""Tables of text: .csv, .tsv, .jsonl and .parquet files, and data sets of the Hugging Face hub."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet

from litdraft.data.examples import Split
from litdraft.data.files import read_text
from litdraft.errors import UserError

ENDINGS = (".csv", ".tsv", ".parquet", ".jsonl")
HUB_SPLITS: dict[Split, str] = {"training": "train", "validation": "validation", "test": "test"}

Table = Sequence[dict[str, Any]]


def open_table(files: Sequence[Path], columns: Sequence[str], cache: Path | None = None) -> Table:
    """The rows of all files, in order, each a dictionary of these columns.

    Parquet files alone stay on disk, memory-mapped through `cache` (the library's own folder if
    None). UserError if a file is broken or empty, or lacks a column.
    """
    for file in files:
        if file.suffix not in ENDINGS:
            raise UserError(f"{file} is no table: give {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    if files and all(file.suffix == ".parquet" for file in files):
        return _parquet(files, columns, cache)
    return [row for file in files for row in _rows(file, columns, cache)]


def open_hub(
    name: str, config: str, split: str, columns: Sequence[str] = (), cache: Path | None = None
) -> Table:
    """One split of a data set, memory-mapped: a name on the hub, or a folder laid out like one.

    No code from the hub runs. UserError if it cannot be reached or opened, or lacks a column.
    """
    try:
        with _quiet():
            folder = None if cache is None else str(cache)
            table = datasets.load_dataset(name, config, split=split, cache_dir=folder)
    except OSError as error:
        raise UserError(
            f"{name} cannot be reached (no network, or no such data set): "
            "give data.path=... local .parquet, .csv or .jsonl files"
        ) from error
    except Exception as error:  # the library raises nothing narrower
        raise UserError(
            f"{name} has no split {split!r} of {config!r} to open ({_first_line(error)}): "
            "give data.hub another data set, or data.path=... local files"
        ) from error
    _check_columns(f"{name} ({config})", table.column_names, columns)
    rows: Table = table
    return rows


def name_parts(parts: str | Sequence[str] | None) -> list[str]:
    """What `split_of` looks for in file names: one part, several, or (None or "") none."""
    return [part for part in ([parts] if isinstance(parts, str) else parts or ()) if part]


def split_of(names: Sequence[str], held_out: Mapping[Split, Sequence[str]]) -> Split:
    """The split whose `held_out` parts stand in one of a text's file names, else training.

    UserError if two splits claim it.
    """
    claims: list[Split] = [
        split
        for split, parts in held_out.items()
        if any(part in name for part in parts for name in names)
    ]
    if len(claims) > 1:
        raise UserError(
            f"{names[0]} is claimed by data.validation={list(held_out['validation'])} and by "
            f"data.test={list(held_out['test'])}: give them different parts of file names"
        )
    return claims[0] if claims else "training"


def _rows(file: Path, columns: Sequence[str], cache: Path | None) -> Table:
    if file.suffix == ".parquet":
        return _parquet([file], columns, cache)
    rows = list(_jsonl(file, columns) if file.suffix == ".jsonl" else _csv(file, columns))
    if not rows:
        raise UserError(f"{file} has no rows: give a file with at least one")
    return rows


def _csv(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    csv.field_size_limit(sys.maxsize)  # articles outgrow the module's 128 KiB
    delimiter = "\t" if file.suffix == ".tsv" else ","
    reader = csv.reader(io.StringIO(read_text(file)), delimiter=delimiter, strict=True)
    try:
        names = next(reader)
        _check_columns(str(file), names, columns)
        places = {column: names.index(column) for column in columns}
        for row in reader:
            if row and len(row) != len(names):
                raise UserError(
                    f"{file}, line {reader.line_num}: {len(row)} fields, but the header names "
                    f"{len(names)}: mend the line (a field with a comma or newline needs quotes)"
                )
            if row:
                yield {column: row[place] for column, place in places.items()}
    except csv.Error as error:
        raise UserError(
            f"{file}, line {reader.line_num} is broken ({error}): mend its quotes"
        ) from error


def _jsonl(file: Path, columns: Sequence[str]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise UserError(
                f"{file}, line {number} is no JSON ({error}): give one JSON object a line"
            ) from error
        if not isinstance(row, dict):
            raise UserError(f"{file}, line {number} is no JSON object: give one a line")
        _check_columns(f"{file}, line {number}", list(row), columns)
        yield {column: row[column] for column in columns}


def _parquet(files: Sequence[Path], columns: Sequence[str], cache: Path | None) -> Table:
    for file in files:
        try:
            with pyarrow.parquet.ParquetFile(file) as parquet:
                names, count = parquet.schema_arrow.names, parquet.metadata.num_rows
        except (OSError, pyarrow.ArrowException) as error:
            raise UserError(
                f"{file} is not readable as a .parquet file ({_first_line(error)}): give another"
            ) from error
        _check_columns(str(file), names, columns)
        if not count:
            raise UserError(f"{file} has no rows: give a file with at least one")
    paths, folder = [str(file) for file in files], None if cache is None else str(cache)
    try:
        with _quiet():
            table = datasets.Dataset.from_parquet(paths, cache_dir=folder, columns=list(columns))
    except Exception as error:  # the library raises nothing narrower
        raise UserError(
            f"{files[0]} is broken or unlike the others ({_first_line(error)}): give another file"
        ) from error
    rows: Table = table
    return rows


def _check_columns(place: str, names: Sequence[str], columns: Sequence[str]) -> None:
    if missing := [column for column in columns if column not in names]:
        raise UserError(
            f"{place} has the columns {', '.join(names)}, but {', '.join(missing)} is needed: "
            "rename a column or give another file"
        )


def _first_line(error: Exception) -> str:
    return str(error.__cause__ or error).split("\n")[0]


@contextmanager
def _quiet() -> Iterator[None]:
    """The library's progress bars off, and back as they were."""
    shown = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if not shown:
            datasets.enable_progress_bars()
