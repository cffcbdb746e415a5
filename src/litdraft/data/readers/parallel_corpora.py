"""Local parallel text: files whose lines or rows are translations of each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from litdraft.data.readers.splits import Files, Pair, filled
from litdraft.data.readers.tables import open_table
from litdraft.data.readers.text_files import Paths, files_of, read_text
from litdraft.errors import UserError

# Language name to the codes in file endings and columns; the hub uses the first.
LANGUAGES: dict[str, tuple[str, ...]] = {
    "German": ("de", "deu", "ger"),
    "English": ("en", "eng"),
    "French": ("fr", "fra", "fre"),
    "Czech": ("cs", "ces", "cze"),
    "Russian": ("ru", "rus"),
    "Hindi": ("hi", "hin"),
    "Spanish": ("es", "spa"),
}
TABLES = (".tsv", ".parquet", ".jsonl")


def language_codes(language: str) -> tuple[str, ...]:
    """Every known code of a language, the two-letter one first."""
    known = (codes for codes in LANGUAGES.values() if language in codes)
    return next(known, (language,))


def language_name(language: str) -> str:
    """The English name of a language; for an unknown one its code."""
    return next((name for name, codes in LANGUAGES.items() if language in codes), language)


def find_bitexts(path: Paths | Mapping[str, Any], source: str, target: str) -> list[Files]:
    """The texts, ordered by file name: each has a source and a target file, or is one table. No
    file is read.

    path: a file, a folder, a list of those, or {language: file or list of files}. Files with the
    same folder and stem are a pair. UserError if a file has no partner or no known ending.
    """
    if isinstance(path, Mapping):
        return _mapped(path, source, target)
    codes = {f".{code}": side for side in (source, target) for code in language_codes(side)}
    texts: dict[Path, dict[str, Path]] = {}
    for file in dict.fromkeys(files_of(path, (*codes, *TABLES))):
        if file.suffix in TABLES:
            texts[file] = {"table": file}
        elif file.suffix in codes:
            sides = texts.setdefault(file.with_suffix(""), {})
            other = sides.setdefault(codes[file.suffix], file)
            if other != file:
                raise UserError(f"{other} and {file} are the same side of one text: give only one")
        else:
            raise UserError(
                f"{file} has no language in its name: give {', '.join((*codes, *TABLES))} files, "
                f"or data.path={{{source}: FILE, {target}: FILE}}"
            )
    return [_bitext(sides, source, target) for sides in texts.values()]


def read_bitext(files: Files, source: str, target: str) -> list[Pair]:
    """The pairs with words on both sides; UserError if a file is broken or the lines differ."""
    if len(files) == 2:
        return filled(_aligned(*files))
    read = _columns if files[0].suffix == ".tsv" else _translations
    return filled(read(files[0], source, target))


def _bitext(sides: dict[str, Path], source: str, target: str) -> Files:
    if "table" in sides:
        return (sides["table"],)
    for here, there in ((source, target), (target, source)):
        if there not in sides:
            partners = " or ".join(f"{sides[here].stem}.{code}" for code in language_codes(there))
            raise UserError(
                f"{sides[here]} has no partner: expected {partners} in the same folder; "
                f"add it, or give data.path={{{source}: FILE, {target}: FILE}}"
            )
    return sides[source], sides[target]


def _mapped(path: Mapping[str, Any], source: str, target: str) -> list[Files]:
    sides = {language_codes(str(code))[0]: files for code, files in path.items()}
    if set(sides) != {source, target}:
        raise UserError(
            f"data.path names the languages {', '.join(map(str, path))}, but "
            f"data.source={source} and data.target={target} are needed: name these two"
        )
    sources, targets = (files_of(sides[code], [f".{code}", ".txt"]) for code in (source, target))
    if len(sources) != len(targets):
        raise UserError(
            f"data.path gives {len(sources)} {source} and {len(targets)} {target} files: "
            "give as many of each, in the same order"
        )
    return list(zip(sources, targets, strict=True))


def _lines(file: Path) -> list[str]:
    # Not splitlines, which also breaks at rare characters inside a sentence.
    return read_text(file).removesuffix("\n").split("\n")


def _aligned(source: Path, target: Path) -> Iterator[Pair]:
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise UserError(
            f"{source} has {len(sources)} lines, but {target} has {len(targets)}: "
            "give files in which each line translates the same line of the other"
        )
    for line, (first, second) in enumerate(zip(sources, targets, strict=True), 1):
        yield Pair(first, second, f"{source}, line {line}")


def _columns(file: Path, source: str, target: str) -> Iterator[Pair]:
    """Columns are source and target, or in the order of a first line with both language codes."""
    order = [0, 1]
    for line, text in enumerate(_lines(file), 1):
        row = text.split("\t")
        if len(row) != 2:
            raise UserError(
                f"{file}, line {line} has {len(row)} columns, but two are expected: "
                f"give {source} and {target} with one tab between them"
            )
        codes = [language_codes(name.strip().lower())[0] for name in row]
        if line == 1 and set(codes) == {source, target}:
            order = [codes.index(source), codes.index(target)]
        else:
            yield Pair(row[order[0]], row[order[1]], f"{file}, line {line}")


def _translations(file: Path, source: str, target: str) -> Iterator[Pair]:
    for line, row in enumerate(open_table(file, ["translation"]), 1):
        texts, location = row["translation"], f"{file}, line {line}"
        if not isinstance(texts, Mapping):
            raise UserError(f"{location}: translation is not {{language: text}}: fix it")
        by_language = {language_codes(code)[0]: text for code, text in texts.items()}
        sides = by_language.get(source), by_language.get(target)
        if not (isinstance(sides[0], str) and isinstance(sides[1], str)):
            raise UserError(
                f"{location}: translation has {', '.join(texts)}, but texts in {source} and "
                f"{target} are needed: set data.source and data.target to languages in the file"
            )
        yield Pair(sides[0], sides[1], location)
