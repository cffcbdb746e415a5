"""A sweep's decision says what a reader should know, and its plot can be read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib import pyplot as plt
from matplotlib.text import Annotation
from tests.evaluation.samples import sample

from litdraft.acceptance.counts import Interval
from litdraft.reports.labels import label_points
from litdraft.sweeps import pareto
from litdraft.sweeps.ranking import SweepRow, cells, decision, ranked


def entry(
    name: str, pace: float, length: float = 2.5, spread: float = 0.05, **more: Any
) -> SweepRow:
    report = sample(
        speedup=Interval(pace, pace - spread, pace + spread),
        drafter=name, mean_acceptance_length=length, parameters=1000, **more,
    )  # fmt: skip
    again = f"python evaluate.py run=outputs/{name}"
    return SweepRow({"drafter": name}, "done", f"outputs/{name}", report, 10.0, again)


FAILED = SweepRow({"drafter": "mtp"}, "failed: too wide", "outputs/mtp")


def test_the_fastest_wins_and_the_longer_where_they_are_equal() -> None:
    entries = [FAILED, entry("cnn", 1.2), entry("lstm", 1.5, 2.0), entry("mlp", 1.5)]
    assert [e.folder for e in ranked(entries)] == [
        "outputs/mlp", "outputs/lstm", "outputs/cnn", "outputs/mtp",
    ]  # fmt: skip
    first, second = decision(entries)
    assert first == (
        "Winner: mlp decodes 1.50 times as fast [1.45, 1.55], 2.50 tokens per round: "
        "python evaluate.py run=outputs/mlp"
    )
    assert second.startswith("That is 0.0 % faster than the runner-up, lstm (1.50 times")
    assert "their intervals overlap" in second
    head, *rows = cells(ranked(entries))
    assert rows[0][head.index("speedup")] == "1.50 [1.45, 1.55]"
    assert dict(zip(head, rows[-1], strict=True))["speedup"] == ""


def test_disappointments_come_first() -> None:
    told = decision([entry("lstm", 0.9, 1.1), entry("cnn", 0.7)])
    assert told[0] == "Prompt lookup beats the winner: 1.20 tokens per round against 1.10."
    assert told[1] == "No drafter of this sweep makes decoding faster."
    assert told[3].endswith("their intervals do not overlap.")
    assert not decision([FAILED])


def test_what_is_not_lossless_cannot_win() -> None:
    told = decision([entry("lstm", 1.9, mismatches=2), entry("cnn", 1.2)])
    assert told[0].startswith("Winner: cnn")
    assert len(told) == 1


def test_a_front_is_what_nothing_beats() -> None:
    points = [(1.0, 1.0), (2.0, 3.0), (2.0, 2.0), (3.0, 3.0), (4.0, 5.0)]
    assert pareto.front(points) == [(1.0, 1.0), (2.0, 3.0), (4.0, 5.0)]


def test_names_keep_apart(tmp_path: Path) -> None:
    figure, axes = plt.subplots()
    points = [(1.0 + n / 50, 2.0 + n / 90) for n in range(6)]
    axes.plot(*zip(*points, strict=True), "o")
    axes.margins(0.5)
    label_points(axes, points, [f"drafter {n}" for n in range(6)])
    boxes = [t.get_window_extent() for t in axes.texts if isinstance(t, Annotation)]
    assert len(boxes) == 6
    shared = [a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[n + 1 :]]
    assert not any(shared)
    plt.close(figure)


def test_whatever_was_measured_is_drawn(tmp_path: Path) -> None:
    slow = [entry(f"d{n}", 1 + n / 10, 1 + n / 5, draft_milliseconds=3.0**n) for n in range(5)]
    for entries in ([*slow, FAILED], [entry("old", 1.1, draft_milliseconds=None)], [FAILED]):
        path = pareto.draw(entries, tmp_path / "sweep.png")
        assert path.read_bytes().startswith(b"\x89PNG")
    assert not plt.get_fignums()
