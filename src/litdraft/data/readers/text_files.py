"""Reading text files; each error names the file and what to give instead."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from litdraft.errors import UserError

Paths = str | Path | Sequence[str | Path]


def files_of(paths: Paths, endings: Sequence[str], key: str = "data.path") -> list[Path]:
    """The files of a path or a list of paths; of a folder (any depth) those with one of these
    endings, sorted by name. UserError if there are none."""
    if isinstance(paths, str | Path):
        paths = [paths]
    files: list[Path] = []
    for path in (Path(path).expanduser() for path in paths):
        if not path.exists():
            raise UserError(f"{path} does not exist: give {key} a file or folder that does")
        inside = sorted(f for f in path.rglob("*") if f.suffix in endings and f.is_file())
        if path.is_dir() and not inside:
            raise UserError(f"{path} has no {' or '.join(endings)} file: give {key} another")
        files += inside if path.is_dir() else [path]
    return files


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
    """Changes when a file changes; the file is not read."""
    facts = path.stat()
    return [path.name, facts.st_size, facts.st_mtime_ns]


def json_lines(file: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Location and JSON object of every non-blank line; UserError if a line is not an object."""
    for number, line in enumerate(read_text(file).split("\n"), 1):
        if not line.strip():
            continue
        location = f"{file}, line {number}"
        try:
            row = json.loads(line)
            if "\\ud" in line.lower():  # json accepts half a surrogate pair, tokenizers do not
                json.dumps(row, ensure_ascii=False).encode()
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{location} is not JSON ({error}): give one JSON object per line"
            ) from error
        if not isinstance(row, dict):
            raise UserError(
                f"{location} has {type(row).__name__}, not a JSON object: give one object per line"
            )
        yield location, row
