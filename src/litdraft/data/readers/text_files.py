"""Reading files of text: each complaint names the file, and what to give instead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from litdraft.errors import UserError

Paths = str | Path | Sequence[str | Path]


def files_of(paths: Paths, endings: Sequence[str], key: str = "data.path") -> list[Path]:
    """The files that a path, or a list of paths, names; of a folder (any depth) those with one of
    these endings, in order of their names. UserError if there is none."""
    if isinstance(paths, str | Path):
        paths = [paths]
    found: list[Path] = []
    for place in (Path(path).expanduser() for path in paths):
        if not place.exists():
            raise UserError(f"{place} does not exist: give {key} a file or folder that does")
        inside = sorted(f for f in place.rglob("*") if f.suffix in endings and f.is_file())
        if place.is_dir() and not inside:
            raise UserError(f"{place} holds no {' or '.join(endings)} file: give {key} another")
        found += inside if place.is_dir() else [place]
    return found


def read_text(path: Path) -> str:
    """A file's text; UserError if it is empty, binary, or not UTF-8 (the position is named)."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} is not readable ({error.strerror}): give another file") from error
    if b"\0" in raw[: 1 << 16]:
        raise UserError(f"{path} is a binary file, but text was expected: give a text file")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise UserError(
            f"{path} is not UTF-8: byte {error.start} (line {line}) is "
            f"0x{raw[error.start]:02x}; convert the file to UTF-8"
        ) from None
    if not text.strip():
        raise UserError(f"{path} is empty: give a file with text in it")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def stamp(path: Path) -> list[Any]:
    """What changes when a file does, without reading it."""
    facts = path.stat()
    return [path.name, facts.st_size, facts.st_mtime_ns]


def json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Where it stands and its object, of every line that is not blank; UserError if it has none."""
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        try:
            row = json.loads(line)
            if "\\ud" in line.lower():  # half a surrogate pair passes json, but no tokenizer
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{place} is not JSON ({error}): give one JSON object a line"
            ) from error
        if not isinstance(row, dict):
            raise UserError(
                f"{place} is no JSON object, but {type(row).__name__}: give one JSON object a line"
            )
        yield place, row
