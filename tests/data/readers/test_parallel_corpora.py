"""Local parallel text: how files pair up, and the error where they do not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest

from litdraft.data.readers.parallel_corpora import find_bitexts, language_name, read_bitext
from litdraft.errors import UserError

PAIRS = [("Hallo", "Hello"), ("Ja", "Yes")]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(folder))


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="utf-8")
    return folder


def read(path: Any, source: str = "de", target: str = "en") -> list[tuple[str, str]]:
    texts = find_bitexts(path, source, target)
    pairs = [pair for text in texts for pair in read_bitext(text, source, target)]
    return [(pair.source, pair.target) for pair in pairs]


def test_files_pair_up_by_stem_in_either_spelling(tmp_path: Path) -> None:
    write(tmp_path, a__de="Hallo\nJa\n", a__en="Hello\r\nYes\r\n", b__deu="Nein", b__eng="No\n")
    write(tmp_path, a__fr="Bonjour\nOui\n", README__txt="not a text\n")
    assert read(tmp_path) == [*PAIRS, ("Nein", "No")]
    assert read(tmp_path, "en", "de") == [("Hello", "Hallo"), ("Yes", "Ja"), ("No", "Nein")]
    assert read([tmp_path / "b.eng", tmp_path / "b.deu"]) == [("Nein", "No")]
    (pair, _) = read_bitext(find_bitexts(tmp_path, "de", "en")[0], "de", "en")
    assert pair.location == f"{tmp_path / 'a.de'}, line 1"


def test_lines_empty_on_either_side_are_skipped_and_rare_line_ends_kept(tmp_path: Path) -> None:
    write(tmp_path, a__de="Hallo\n\nJa\u2028Nein\nX\n", a__en="Hello\nlost\nYes\u2028No\n \n")
    assert read(tmp_path) == [("Hallo", "Hello"), ("Ja\u2028Nein", "Yes\u2028No")]


def test_files_with_other_endings_are_named(tmp_path: Path) -> None:
    write(tmp_path, src__txt="Hallo\nJa\n", tgt__txt="Hello\nYes\n")
    both = {"eng": tmp_path / "tgt.txt", "de": tmp_path / "src.txt"}
    assert read(both) == PAIRS
    assert read({code: [file, file] for code, file in both.items()}) == PAIRS * 2


@pytest.mark.parametrize("text", ["Hallo\tHello\nJa\tYes\n", "en\tde\nHello\tHallo\nYes\tJa\n"])
def test_tab_separated_columns(tmp_path: Path, text: str) -> None:
    write(tmp_path, a__tsv=text)
    assert read(tmp_path / "a.tsv") == PAIRS


@pytest.mark.parametrize("ending", ["parquet", "jsonl"])
def test_a_translation_column(tmp_path: Path, ending: str) -> None:
    features = datasets.Features(translation=datasets.Translation(["de", "en"]))
    rows = [{"translation": {"de": de, "en": en}} for de, en in PAIRS]
    table = datasets.Dataset.from_list(rows, features=features)
    file = tmp_path / f"a.{ending}"
    (table.to_parquet if ending == "parquet" else table.to_json)(file)
    assert read(tmp_path) == PAIRS
    with pytest.raises(UserError, match="line 1: translation has de, en, but texts in de and fr"):
        read(file, "de", "fr")


BROKEN: dict[str, tuple[dict[str, str], Callable[[Path], Any], str]] = {
    "line counts": (
        {"a__de": "1\n2\n", "a__en": "1\n"},
        lambda folder: folder,
        "a.de has 2 lines, but .*a.en has 1",
    ),
    "no partner": (
        {"a__de": "1\n", "b__en": "1\n"},
        lambda folder: folder,
        "a.de has no partner: expected a.en or a.eng in the same folder",
    ),
    "two of one side": (
        {"a__de": "1\n", "a__deu": "1\n", "a__en": "1\n"},
        lambda folder: folder,
        "the same side",
    ),
    "no language": (
        {"a__txt": "1\n"},
        lambda folder: folder / "a.txt",
        "has no language in its name",
    ),
    "an empty file": ({"a__de": "1\n", "a__en": ""}, lambda folder: folder, "a.en is empty"),
    "a binary file": ({"a__de": "1\0\n", "a__en": "1\n"}, lambda folder: folder, "binary"),
    "three columns": ({"a__tsv": "1\t2\n1\t2\t3\n"}, lambda folder: folder, "line 2 has 3 col"),
    "no translation": ({"a__jsonl": '{"de": "1"}'}, lambda folder: folder, "translation is needed"),
    "translation is text": (
        {"a__jsonl": '{"translation": "1"}'},
        lambda folder: folder,
        "line 1: translation is no",
    ),
    "other languages": (
        {"a__txt": "1\n"},
        lambda folder: {"fr": folder / "a.txt", "en": folder / "a.txt"},
        "names the languages fr, en, but data.source=de",
    ),
    "unlike lists": (
        {"a__txt": "1\n"},
        lambda folder: {"de": [folder / "a.txt"] * 2, "en": folder / "a.txt"},
        "gives 2 de and 1 en files",
    ),
    "nothing there": ({"a__txt": "1\n"}, lambda folder: folder, "has no .de or"),
    "no such file": ({}, lambda folder: folder / "no", "does not exist"),
}


@pytest.mark.parametrize("files, path, message", BROKEN.values(), ids=BROKEN.keys())
def test_what_does_not_pair_up_is_reported(
    tmp_path: Path, files: dict[str, str], path: Callable[[Path], Any], message: str
) -> None:
    write(tmp_path, **files)
    with pytest.raises(UserError, match=message):
        read(path(tmp_path))


def test_languages_have_names() -> None:
    names = [language_name(code) for code in ("de", "deu", "ger", "ces", "spa", "xx")]
    assert names == ["German", "German", "German", "Czech", "Spanish", "xx"]


def test_the_real_files(shared: Path) -> None:
    texts = find_bitexts(shared / "data/wmt14/newstest", "de", "en")
    counts = {text[0].stem: len(read_bitext(text, "de", "en")) for text in texts}
    lines = {"news-test2008": 2051, "2009": 2525, "2010": 2489, "2012": 3003, "2013": 3000}
    years = {name if "-" in name else f"newstest{name}": n for name, n in lines.items()}
    assert counts == {**years, "newstest2014": 3003}
