"""Tokenised text back to normal."""

from __future__ import annotations

from pathlib import Path

import pytest

from litdraft.data.readers.detokenize import detokenized, folded, looks_tokenised

RESTORED = {
    "commas and stops": ("Herr Präsident , ja ! Nein .", "Herr Präsident, ja! Nein."),
    "escapes": ("Bed &amp; Breakfast &#91; 1 &#93;", "Bed & Breakfast [1]"),
    "quotations": ("the &quot; Award &quot; .", 'the "Award".'),
    "single quotations": ("The &apos; SELECTED &apos; Tour .", "The 'SELECTED' Tour."),
    "brackets": ("pets ( cats ; dogs ) .", "pets (cats; dogs)."),
    "hyphens": ("state @-@ of @-@ the @-@ art", "state-of-the-art"),
    "dashes stay": ("problems - water - are", "problems - water - are"),
    "contractions": ("I &apos;m sure it doesn &apos;t", "I'm sure it doesn't"),
    "torn contractions": ("people &apos; s and Iran \" s march , I ' ll go", None),
    "elisions": ("Épitre à l &apos; auteur d &apos;Albon", "Épitre à l'auteur d'Albon"),
    "slashes": ("see http: / / a.org / b .", "see http://a.org/b."),
    "times": ("modified 15: 34 , 2009: 77%", "modified 15:34, 2009: 77%"),
    "underscores": ("PORTAGE _ NICENESS", "PORTAGE_NICENESS"),
    "amounts": ("200 € for two , $ 20", "200 € for two, $20"),
    "soft hyphens": ("hoch \u00ad wertig", "hochwertig"),
}


@pytest.mark.parametrize("line, normal", RESTORED.values(), ids=RESTORED.keys())
def test_lines_are_detokenized(line: str, normal: str | None) -> None:
    assert detokenized(line, "en") == (normal or "people's and Iran's march, I'll go")


def test_a_quoted_letter_is_no_contraction_in_german() -> None:
    assert detokenized('Buchstabe " s ist da', "de") != "Buchstabe's ist da"


def test_tokenised_and_normal_copies_fold_to_the_same() -> None:
    line = 'He said , &quot; Iran &apos;s " ( sic ) .'
    assert folded(line) == folded(detokenized(line, "en")) == "hesaidiranssic"
    assert folded(" ... ") == "..."


def test_normal_and_tokenised_text_are_distinguished(shared: Path) -> None:
    for file in sorted((shared / "data/wmt14").rglob("*.*")):
        lines = file.read_text(encoding="utf-8").splitlines()
        assert looks_tokenised(lines) == (file.parent.name == "opennmt_toy_train"), file
    french = ["Vraiment ? Oui ; non : « si » !", "Bien, merci."] * 5
    assert not looks_tokenised(french)
    assert not looks_tokenised([])


@pytest.mark.parametrize("side, language", [("src", "en"), ("tgt", "de")])
def test_the_toy_set_is_normal_afterwards(shared: Path, side: str, language: str) -> None:
    file = shared / "data/wmt14/opennmt_toy_train" / f"{side}-train.txt"
    lines = [detokenized(line, language) for line in file.read_text(encoding="utf-8").splitlines()]
    assert not any(mark in line for line in lines for mark in ("&quot;", "&apos;", " , ", "( "))
    assert sum(line.endswith(" .") for line in lines) == 0
