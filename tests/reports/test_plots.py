"""Plots show the report's numbers and are written whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib import pyplot as plt
from tests.evaluation.samples import LENGTHS, group, sample, times

from litdraft.reports import plots, report


def test_three_plots_are_written_and_closed(tmp_path: Path) -> None:
    paths = plots.draw_all(sample(), tmp_path)
    assert [path.name for path in paths] == ["acceptance.png", "lengths.png", "speed.png"]
    assert sorted(tmp_path.iterdir()) == paths  # nothing temporary is left
    for path in paths:
        assert path.read_bytes().startswith(b"\x89PNG")
    assert not plt.get_fignums()


def test_a_chosen_k_is_drawn_and_listed(tmp_path: Path) -> None:
    made = sample(draft_lengths=LENGTHS)
    assert plots.draw_all(made, tmp_path)[-1].name == "draft_lengths.png"
    assert "| **2** | 1.800 | 1.100 | 1636 |" in report.document(made).markdown()
    assert "How many tokens to draft" not in report.document(sample()).markdown()


def test_a_document_shows_just_the_plots_that_are_drawn(tmp_path: Path) -> None:
    for made in (
        sample(),
        sample(draft_lengths=LENGTHS, groups={"even": group(2.0), "odd": group(1.5)}),
    ):
        drawn = {path.stem for path in plots.draw_all(made, tmp_path)}
        assert set(report.document(made).plots) == drawn


def test_plots_show_the_measured_figures() -> None:
    made = sample(groups={"even": group(2.0), "odd": group(1.5)})
    figure, (left, middle, right, last) = plt.subplots(1, 4)
    plots.acceptance(left, made)
    plots.lengths(middle, made)
    plots.speed(right, made)
    plots.categories(last, made)
    drawn = [list(line.get_ydata()) for line in left.lines]
    assert drawn[:2] == [[0.5, 0.5], [0.5, 0.25]]
    assert drawn[2] == pytest.approx([0.5, 0.2])
    assert [bar.get_height() for bar in middle.patches] == [0.5, 0.25, 0.25]
    paces = [bar.get_height() for bar in right.patches]
    assert paces[1] / paces[0] == pytest.approx(1.5)
    assert [len(line.get_ydata()) for line in right.lines] == [6, 6]
    assert [bar.get_width() for bar in last.patches] == [1.5, 2.0]
    for axes in (left, middle, right):
        assert axes.get_title()
        assert axes.get_ylabel()
    plt.close(figure)


def test_a_drafter_that_is_always_right_and_one_batch_can_be_drawn(tmp_path: Path) -> None:
    made = sample(
        times(1), k=1, conditional_acceptance=[1.0], survival=[1.0], accepted_lengths=[0, 9],
        predicted_survival=[float("nan")],
    )  # fmt: skip
    assert len(plots.draw_all(made, tmp_path)) == 3
