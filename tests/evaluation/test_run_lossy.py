"""Word completion and phrasing from the command line: trained, gated, and lossy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.cli.test_families import without_width
from tests.commands import run

SIZES = ["prompts=4", "max_new_tokens=16", "decoding.validation=6"]


def written(folder: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return found


@pytest.mark.parametrize(
    "drafter",
    [
        ["drafter=word_completion", "drafter.width=8", "drafter.vocabulary=99"],
        ["drafter=word_completion", "drafter.body=ngram"],
    ],
)
def test_word_completion(little: Path, tmp_path: Path, drafter: list[str]) -> None:
    run(tmp_path, "train.py", *without_width(little), *drafter, "name=words")
    folder = tmp_path / "outputs" / "words"
    gated = run(tmp_path, "evaluate.py", "run=outputs/words", "decoding=gated",
                "decoding.threshold=0.01", *SIZES)  # fmt: skip
    assert "lossy" not in gated.lower()
    report = written(folder, "report.json")
    assert report["decoding"] == "gated"
    assert report["mode"] == "lossless"
    assert report["losslessness"]["mismatches"] == 0
    assert report["stop_rule"]["threshold"] == 0.01
    shut = ["run=outputs/words", "decoding=gated", "decoding.threshold=1.0", *SIZES]
    streamed = run(tmp_path, "evaluate.py", *shut, "prompt=bab")
    assert "1.00 per round" in streamed, "nothing passes, one prompt alone neither"
    run(tmp_path, "evaluate.py", *shut, "k=auto")
    lengths = written(folder, "report.json")["draft_lengths"]
    assert all(length["mean_acceptance_length"] == 1 for length in lengths)
    output = run(tmp_path, "evaluate.py", "run=outputs/words", "decoding=word_completion",
               "decoding.agreement=[0.0,0.999]", *SIZES)  # fmt: skip
    assert output.count("LOSSY") >= 3, "the headline and every table"
    lossy = written(folder, "lossy.json")
    assert lossy["mode"] == "lossy"
    assert "decoding=word_completion is lossy" in lossy["losslessness"]
    for block in lossy["blocks"]:
        rows = {(row["name"], row["agreement"]): row for row in block["rows"]}
        assert rows["skip", 0.0]["measured"]["target_passes_saved"] > 0
        assert rows["skip", 0.999]["threshold"] is None, "random targets are not so predictable"
        assert rows["lookup", None]["lossy"] is False
        assert block["test"]["positions"] > 30
    greedy = lossy["blocks"][0]
    for row in greedy["rows"]:
        if not row["lossy"]:
            assert row["measured"]["identical"] == 1.0
    assert "LOSSY" in (folder / "lossy.md").read_text(encoding="utf-8")
    for name in ("tradeoff.png", "speedup.png", "ranked.png", "calibration.png"):
        assert (folder / name).stat().st_size > 0


def test_phrasing(little: Path, tmp_path: Path) -> None:
    words = [*without_width(little), "drafter=sentence", "drafter.width=8", "name=phrases"]
    run(tmp_path, "train.py", *words)
    output = run(tmp_path, "evaluate.py", "run=outputs/phrases", "decoding=phrasing",
               "decoding.threshold=0.001", "decoding.bounds=[0.0,1.0]", *SIZES)  # fmt: skip
    assert "LOSSY" in output
    all_kept, none_kept = (
        row["measured"]
        for row in written(tmp_path / "outputs" / "phrases", "lossy.json")["blocks"][0]["rows"]
        if row["lossy"]
    )  # fmt: skip
    assert all_kept["target_passes_saved"] > none_kept["target_passes_saved"] == 0
    assert none_kept["identical"] == 1.0, "only certain tokens are accepted, and none is"
    with pytest.raises(AssertionError, match="drafter=sentence taps layer 7"):
        run(tmp_path, "train.py", *words, "drafter.taps=[1,7]", "name=beyond")


def test_what_cannot_be_gated_is_refused(little: Path, tmp_path: Path) -> None:
    target = ["target=llama", f"target.path={little / 'target'}", "data.length=24"]
    with pytest.raises(AssertionError, match="drafter=lookup does not: train drafter"):
        run(tmp_path, "evaluate.py", *target, "decoding=gated", "prompts=2")
    words = [*without_width(little), "drafter=word_completion", "drafter.body=tree"]
    with pytest.raises(AssertionError, match=r"drafter\.body=tree was given: choose"):
        run(tmp_path, "train.py", *words)
