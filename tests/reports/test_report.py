"""What a reader is told first, and that the files say what the dictionary says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.evaluation.samples import sample, times

from litdraft.evaluation import quality
from litdraft.reports import figures, report


def test_the_file_is_the_dictionary(tmp_path: Path) -> None:
    told = sample()
    report.write(told, tmp_path)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8")) == told
    assert told["mean_acceptance_length"] == 1.75
    assert told["speedup"] == pytest.approx({"value": 1.5, "low": 1.5, "high": 1.5})
    assert told["speedup_with_prefill"]["value"] < 1.5
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.json", "report.md"]


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({}, "With lstm tiny decodes 1.50 times as fast [1.50, 1.50], 1.75 tokens a round."),
        ({"times_n6": times(1)}, "With lstm tiny decodes 1.50 times as fast (one batch: no "),
        ({"floor": {"lookup": 1.9, "untrained": 1.0}}, "Prompt lookup beats lstm: 1.90 tokens "),
        ({"floor": {"lookup": 1.9, "untrained": 1.0}, "mismatches": 2}, "NOT LOSSLESS: 2 "),
        ({"floor": {"lookup": 1.9, "untrained": 1.0}, "drafter": "lookup"}, "With lookup tiny "),
    ],
)
def test_the_headline_is_what_a_reader_should_know_first(
    changed: dict[str, Any], first: str
) -> None:
    told = sample(**changed)
    assert report.headline(told).startswith(first)
    lines = report.markdown(told).splitlines()
    assert lines[2].startswith(f"**{first}")


def test_markdown_carries_the_evidence() -> None:
    """Both temperatures, every position, both speedups, how it was measured."""
    told = report.markdown(sample())
    for words in (
        "| greedy | 1.750 | 1.700 | 1.200 | 1.000 | 37.5 % | 25.0 % |", "| temperature 1 | 1.750 |",
        "| 1 | 50.0 % | 50.0 % |", "| 2 | 50.0 % | 25.0 % |", "| speedup with prefill | 1.4",
        "| near ties | 1 (within 3.0e-05) |", "| mismatches | 0 |", "6 batches of 1",
        "`python evaluate.py run=outputs/one`", "a processor, 2 threads, float32, seed 0",
    ):  # fmt: skip
        assert words in told, words


def test_the_texts_are_judged_where_there_are_references(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both sides of both temperatures, on paper and on the screen."""
    plain, drafted = (
        figures.quality(torch.stack([quality.sums([text], ["a b c d"])] * 2))
        for text in ("a b c d", "a b c e")
    )
    assert drafted["quality"]["prompts"] == 1
    told = sample(**plain)
    told["beside"] |= drafted
    lines = report.markdown(told).splitlines()
    assert "The texts by their references, in hundredths (prompts that have one: 1):" in lines
    for side in ("plain", "drafted"):
        assert f"| greedy | {side} | 100.0 | 100.0 | 100.0 | 100.0 | 100.0 |" in lines
        assert any(f"| temperature 1 | {side} | 75.0 | 66.7 | 75.0 | " in line for line in lines)
    report.show(told, tmp_path)
    assert "by the references, in hundredths" in capsys.readouterr().out
    assert figures.quality(torch.stack([quality.sums([], [])] * 2)) == {}
    assert "references" not in report.markdown(sample())


def test_the_terminal_shows_brackets_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Brackets are colours to rich, if they hold words."""
    report.show(sample(target="tiny[red]"), tmp_path / "k=[a,b]")
    told = capsys.readouterr().out
    assert "tiny[red] decodes 1.50 times as fast [1.50, 1.50]" in told.replace("\n", " ")
    assert f"report: {tmp_path}/k=[a,b]/report.md" in told
