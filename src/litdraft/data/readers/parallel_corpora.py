"""Local parallel text: files whose lines, or whose rows, translate each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from litdraft.data.readers.splits import Files, Pair, filled
from litdraft.data.readers.tables import open_table
from litdraft.data.readers.text_files import Paths, files_of, read_text
from litdraft.errors import UserError

# The name, then how file endings and columns spell it; the first spelling is the hub's.
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


def spellings(language: str) -> tuple[str, ...]:
    """Every known spelling of a language's code, the two-letter one first."""
    known = (codes for codes in LANGUAGES.values() if language in codes)
    return next(known, (language,))


def language_name(language: str) -> str:
    """The English name of a language; for an unknown one its code."""
    return next((name for name, codes in LANGUAGES.items() if language in codes), language)


def find_bitexts(path: Paths | Mapping[str, Any], source: str, target: str) -> list[Files]:
    """The texts that files make, in order of their names: each the source's and the target's file,
    or one table. Nothing is read.

    path: a file, a folder, a list of those, or {language: file or list of files}. Files pair up by
    folder and stem. UserError if a file has no partner or no known ending.
    """
    if isinstance(path, Mapping):
        return _mapped(path, source, target)
    codes = {f".{code}": side for side in (source, target) for code in spellings(side)}
    found: dict[Path, dict[str, Path]] = {}
    for file in dict.fromkeys(files_of(path, (*codes, *TABLES))):
        if file.suffix in TABLES:
            found[file] = {"table": file}
        elif file.suffix in codes:
            sides = found.setdefault(file.with_suffix(""), {})
            other = sides.setdefault(codes[file.suffix], file)
            if other != file:
                raise UserError(f"{other} and {file} are the same side of one text: give one")
        else:
            raise UserError(
                f"{file} does not say its language: give {', '.join((*codes, *TABLES))} files, "
                f"or data.path={{{source}: FILE, {target}: FILE}}"
            )
    return [_bitext(sides, source, target) for sides in found.values()]


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
            partners = " or ".join(f"{sides[here].stem}.{code}" for code in spellings(there))
            raise UserError(
                f"{sides[here]} has no partner: expected {partners} beside it; "
                f"add it, or give data.path={{{source}: FILE, {target}: FILE}}"
            )
    return sides[source], sides[target]


def _mapped(path: Mapping[str, Any], source: str, target: str) -> list[Files]:
    sides = {spellings(str(code))[0]: files for code, files in path.items()}
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
    # Not splitlines, which also breaks at rarer characters that stand inside a sentence.
    return read_text(file).removesuffix("\n").split("\n")


def _aligned(source: Path, target: Path) -> Iterator[Pair]:
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise UserError(
            f"{source} has {len(sources)} lines, but {target} has {len(targets)}: "
            "give files of which each line translates the other's"
        )
    for line, (first, second) in enumerate(zip(sources, targets, strict=True), 1):
        yield Pair(first, second, f"{source}, line {line}")


def _columns(file: Path, source: str, target: str) -> Iterator[Pair]:
    """Source and target, or as a first line with both languages' codes says."""
    order = [0, 1]
    for line, text in enumerate(_lines(file), 1):
        row = text.split("\t")
        if len(row) != 2:
            raise UserError(
                f"{file}, line {line} has {len(row)} columns, but two are expected: "
                f"give {source} and {target} with one tab between them"
            )
        codes = [spellings(name.strip().lower())[0] for name in row]
        if line == 1 and set(codes) == {source, target}:
            order = [codes.index(source), codes.index(target)]
        else:
            yield Pair(row[order[0]], row[order[1]], f"{file}, line {line}")


def _translations(file: Path, source: str, target: str) -> Iterator[Pair]:
    for line, row in enumerate(open_table(file, ["translation"]), 1):
        texts, place = row["translation"], f"{file}, line {line}"
        if not isinstance(texts, Mapping):
            raise UserError(f"{place}: translation is no {{language: text}}: give one")
        found = {spellings(code)[0]: text for code, text in texts.items()}
        sides = found.get(source), found.get(target)
        if not (isinstance(sides[0], str) and isinstance(sides[1], str)):
            raise UserError(
                f"{place}: translation holds {', '.join(texts)}, but texts in {source} and "
                f"{target} are needed: set data.source and data.target to languages that it has"
            )
        yield Pair(sides[0], sides[1], place)
