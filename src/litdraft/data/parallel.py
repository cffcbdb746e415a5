"""Local parallel text: files whose lines, or whose rows, translate each other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.files import Paths, files_of, read_text
from litdraft.data.tables import open_table
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


class Pair(NamedTuple):
    """A line and its translation, both without spaces at their ends; `line` counts from 1."""

    source: str
    target: str
    file: Path | None = None
    line: int = 0

    @property
    def place(self) -> str:
        return f"{self.file}, line {self.line}" if self.file else ""


@dataclass(frozen=True)
class Bitext:
    """A text in two languages, not read yet: the source's and the target's file, or one table."""

    files: tuple[Path, ...]
    source: str
    target: str

    @property
    def names(self) -> list[str]:
        return [file.name for file in self.files]

    def pairs(self) -> list[Pair]:
        """Those with words on both sides; UserError if a file is broken or the lines differ."""
        file = self.files[0]
        if len(self.files) == 2:
            both = _aligned(*self.files)
        elif file.suffix == ".tsv":
            both = _columns(file, self.source, self.target)
        else:
            both = _translations(file, self.source, self.target)
        pairs = (Pair(s.strip(), t.strip(), file, line) for line, (s, t) in both)
        return [pair for pair in pairs if pair.source and pair.target]


def spellings(language: str) -> tuple[str, ...]:
    """Every known spelling of a language's code, the two-letter one first."""
    known = (codes for codes in LANGUAGES.values() if language in codes)
    return next(known, (language,))


def language_name(language: str) -> str:
    """The English name of a language; for an unknown one its code."""
    return next((name for name, codes in LANGUAGES.items() if language in codes), language)


def find_bitexts(path: Paths | Mapping[str, Any], source: str, target: str) -> list[Bitext]:
    """The texts that files make, in order of their names; nothing is read.

    path: a file, a folder, a list of those, or {language: file or list of files}. Files pair up by
    folder and stem. UserError if a file has no partner or no known ending.
    """
    if isinstance(path, Mapping):
        return _mapped(path, source, target)
    codes = {f".{code}": side for side in (source, target) for code in spellings(side)}
    found: dict[Path, dict[str, Path]] = {}
    for file in dict.fromkeys(files_of(path, (*codes, *TABLES))):
        if file.suffix not in codes and file.suffix not in TABLES:
            raise UserError(
                f"{file} does not say its language: give {', '.join((*codes, *TABLES))} files, "
                f"or data.path={{{source}: FILE, {target}: FILE}}"
            )
        sides = found.setdefault(file if file.suffix in TABLES else file.with_suffix(""), {})
        side = codes.get(file.suffix, "table")
        if side in sides:
            raise UserError(f"{sides[side]} and {file} are the same side of one text: give one")
        sides[side] = file
    return [_bitext(sides, source, target) for sides in found.values()]


def _bitext(sides: dict[str, Path], source: str, target: str) -> Bitext:
    if "table" in sides:
        return Bitext((sides["table"],), source, target)
    for here, there in ((source, target), (target, source)):
        if there not in sides:
            stem = sides[here].stem
            partners = " or ".join(f"{stem}.{code}" for code in spellings(there))
            raise UserError(
                f"{sides[here]} has no partner: expected {partners} beside it; "
                f"add it, or give data.path={{{source}: FILE, {target}: FILE}}"
            )
    return Bitext((sides[source], sides[target]), source, target)


def _mapped(path: Mapping[str, Any], source: str, target: str) -> list[Bitext]:
    sides = {spellings(str(code))[0]: files for code, files in path.items()}
    wanted = [spellings(source)[0], spellings(target)[0]]
    if set(sides) != set(wanted):
        raise UserError(
            f"data.path names the languages {', '.join(map(str, path))}, but "
            f"data.source={source} and data.target={target} are needed: name these two"
        )
    sources, targets = (files_of(sides[code], [f".{code}", ".txt"]) for code in wanted)
    if len(sources) != len(targets):
        raise UserError(
            f"data.path gives {len(sources)} {source} and {len(targets)} {target} files: "
            "give as many of each, in the same order"
        )
    return [Bitext(both, source, target) for both in zip(sources, targets, strict=True)]


def _lines(file: Path) -> list[str]:
    # Not splitlines, which also breaks at rarer characters that stand inside a sentence.
    return read_text(file).removesuffix("\n").split("\n")


def _aligned(source: Path, target: Path) -> Iterator[tuple[int, Sequence[str]]]:
    sources, targets = _lines(source), _lines(target)
    if len(sources) != len(targets):
        raise UserError(
            f"{source} has {len(sources)} lines, but {target} has {len(targets)}: "
            "give files of which each line translates the other's"
        )
    return enumerate(zip(sources, targets, strict=True), 1)


def _columns(file: Path, source: str, target: str) -> Iterator[tuple[int, Sequence[str]]]:
    rows = [line.split("\t") for line in _lines(file)]
    for line, row in enumerate(rows, 1):
        if len(row) != 2:
            raise UserError(
                f"{file}, line {line} has {len(row)} columns, but two are expected: "
                f"give {source} and {target} with one tab between them"
            )
    header = [name.strip().lower() for name in rows[0]]
    sides = [language_name(side).lower() for side in (source, target)]
    named = [language_name(name).lower() for name in header]
    if sorted(named) == sorted(sides):
        order = [named.index(side) for side in sides]
        return ((line, [row[i] for i in order]) for line, row in enumerate(rows[1:], 2))
    return enumerate(rows, 1)


def _translations(file: Path, source: str, target: str) -> Iterator[tuple[int, Sequence[str]]]:
    for line, row in enumerate(open_table([file], ["translation"]), 1):
        yield line, translation(row, source, target, f"{file}, line {line}")


def translation(row: Mapping[str, Any], source: str, target: str, place: str) -> tuple[str, str]:
    """Both sides of a row {"translation": {language: text}}; UserError, naming place, if absent."""
    texts = row["translation"]
    if not isinstance(texts, Mapping):
        raise UserError(f"{place}: translation is no {{language: text}}: give one")
    found = [
        next((texts[code] for code in spellings(side) if code in texts), None)
        for side in (source, target)
    ]
    if not (isinstance(found[0], str) and isinstance(found[1], str)):
        raise UserError(
            f"{place}: translation holds {', '.join(texts)}, but texts in {source} and {target} "
            "are needed: set data.source and data.target to languages that it has"
        )
    return found[0], found[1]
