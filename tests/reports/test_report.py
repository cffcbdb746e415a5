"""What a reader sees first, and that every file shows the report's figures."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.evaluation.samples import LENGTHS, group, sample, times

from litdraft.evaluation import figures, quality
from litdraft.reports import report
from litdraft.reports.schema import Floors


def test_figures_follow_from_counts_and_times() -> None:
    made = sample()
    assert made.mean_acceptance_length == 1.75
    assert made.acceptance_rate == 3 / 8
    assert made.predicted_mean_acceptance_length == pytest.approx(1.7)
    assert made.predicted_survival == pytest.approx([0.5, 0.2])
    assert made.speedup == pytest.approx((1.5, 1.5, 1.5))
    assert made.speedup_with_prefill.value < 1.5
    assert made.prefill_seconds.baseline == pytest.approx(0.6)
    assert (made.tokens, made.timed_batches) == (600, 6)


def test_all_files_are_written_and_nothing_temporary_is_left(tmp_path: Path) -> None:
    report.write(sample(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "acceptance.png", "lengths.png", "report.html", "report.json", "report.md", "speed.png",
    ]  # fmt: skip


def test_the_page_holds_its_plots_and_needs_no_other_file(tmp_path: Path) -> None:
    made = sample(groups={"even": group(2.0), "odd": group(1.5)}, draft_lengths=LENGTHS)
    report.write(made, tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 5
    assert "<script" not in page
    assert "http" not in page
    assert not unbalanced(page)
    assert report.headline(made) in page
    assert "<td>temperature 1</td><td>1.750</td>" in page
    assert "<strong>2</strong>" in page


def unbalanced(page: str) -> list[str]:
    """Tags that are left open, or closed without being open."""
    stack: list[str] = []
    wrong: list[str] = []

    class Checker(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in ("meta", "img"):
                stack.append(tag)

        def handle_endtag(self, tag: str) -> None:
            if not stack or stack.pop() != tag:
                wrong.append(tag)

    Checker().feed(page)
    return stack + wrong


FLOOR = {"floor": Floors(lookup=1.9, untrained=1.0)}


@pytest.mark.parametrize(
    ("changed", "first"),
    [
        ({}, "With lstm, tiny decodes 1.50 times as fast [1.50, 1.50], 1.75 tokens per round."),
        ({"timings": times(1)}, "With lstm, tiny decodes 1.50 times as fast (one batch: no "),
        (FLOOR, "Prompt lookup beats lstm: 1.90 tokens per round against 1.75; with lstm, tiny "),
        ({**FLOOR, "mismatches": 2}, "NOT LOSSLESS: 2 "),
        ({**FLOOR, "drafter": "lookup"}, "With lookup, tiny "),
    ],
)
def test_the_headline_is_what_a_reader_should_know_first(
    changed: dict[str, Any], first: str
) -> None:
    made = sample(**changed)
    assert report.headline(made).startswith(first)
    whole = report.document(made)
    assert whole.markdown().splitlines()[2].startswith(f"**{first}")
    assert whole.warning is first.startswith("NOT LOSSLESS")


def test_markdown_carries_the_evidence() -> None:
    """Both temperatures, every position, both speedups, how it was measured."""
    text = report.document(sample()).markdown()
    for words in (
        "| greedy | 1.750 | 1.700 | 1.200 | 1.000 | 37.5 % | 25.0 % |", "| temperature 1 | 1.750 |",
        "| 1 | 50.0 % | 50.0 % |", "| 2 | 50.0 % | 25.0 % |", "| speedup with prefill | 1.4",
        "| near ties | 1 (within 3.0e-05) |", "| mismatches | 0 |", "6 batches of 1",
        "| drafting, milliseconds per round | 0.250 |",
        "`python evaluate.py run=outputs/one`", "a processor, 2 threads, float32, seed 0",
    ):  # fmt: skip
        assert words in text, words


def test_texts_are_compared_with_their_references(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Both decoders under both samplings, in the files and on the screen."""
    perfect, worse = (
        torch.stack([quality.sums([text], ["a b c d"])] * 2) for text in ("a b c d", "a b c e")
    )
    made = sample(quality_2n=(perfect, worse))
    assert made.quality is not None
    assert made.quality.prompts == 1
    lines = report.document(made).markdown().splitlines()
    assert (
        "The texts compared with their references, in hundredths (prompts that have one: 1):"
        in lines
    )
    for side in ("plain", "drafted"):
        assert f"| greedy, {side} | 100.0 | 100.0 | 100.0 | 100.0 | 100.0 |" in lines
        assert any(f"| temperature 1, {side} | 75.0 | 66.7 | 75.0 | " in line for line in lines)
    report.show(made, tmp_path)
    assert "compared with their references, in hundredths" in capsys.readouterr().out
    assert figures.text_quality(torch.stack([quality.sums([], [])] * 2)) is None
    assert "references" not in report.document(sample()).markdown()


def test_the_terminal_shows_brackets_as_they_are(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Brackets are colours to rich, if they hold words."""
    made = sample(target="tiny[red]", groups={"[red]": group(2.0), "odd": group(1.5)})
    report.show(made, tmp_path / "k=[a,b]")
    shown = capsys.readouterr().out
    assert "tiny[red] decodes 1.50 times as fast [1.50, 1.50]" in shown.replace("\n", " ")
    assert any(line.startswith("[red] ") for line in shown.splitlines())
    assert f"report: {tmp_path}/k=[a,b]/report.html" in shown


@pytest.mark.parametrize("width", [80, 120])
def test_a_terminal_shows_every_cell_whole(
    width: int,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    sums_2n = torch.stack([quality.sums(["a b"], ["a b c d"])] * 2)
    made = sample(
        groups={"cnn_dailymail": group(2.0), "multi_turn_conversation": group(1.5, None)},
        quality_2n=(sums_2n, sums_2n),
    )
    report.show(made, tmp_path)
    shown = capsys.readouterr().out
    assert "…" not in shown
    tables = shown[shown.index("mean acceptance length") : shown.index("tokens/s plain")]
    assert max(map(len, tables.splitlines())) <= width
    for name in ("temperature 1, drafted", "multi_turn_conversation"):
        assert any(line.strip().startswith(name) for line in shown.splitlines()), name
