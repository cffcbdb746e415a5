"""Two plots of a sweep: what drafting costs per round, and what training costs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from litdraft.io import replacing
from litdraft.reports.labels import Point, label_points
from litdraft.reports.plots import BLUE, GREEN, GREY, ORANGE
from litdraft.sweeps.ranking import SweepRow


def front(points: Sequence[Point]) -> list[Point]:
    """Those that no other point beats in both: small x and large y are good."""
    best: list[Point] = []
    for point in sorted(points, key=lambda p: (p[0], -p[1])):
        if not best or point[1] > best[-1][1]:
            best.append(point)
    return best


def draw(entries: Sequence[SweepRow], path: Path) -> Path:
    """Tokens per round over milliseconds of drafting; speedup over seconds of training."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    lengths(left, [e for e in entries if e.report and e.report.draft_milliseconds])
    speedups(right, [e for e in entries if e.report and e.training_seconds is not None])
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=140, format="png")
    plt.close(figure)
    return path


def lengths(axes: Axes, entries: Sequence[SweepRow]) -> None:
    """Prompt lookup's floor is a dash below (or above) each drafter."""
    axes.set(xlabel="milliseconds of drafting per round", ylabel="tokens per round")
    costs = [e.report.draft_milliseconds or 0.0 for e in entries if e.report]
    floors = [entry.report.floor.lookup for entry in entries if entry.report]
    axes.plot(costs, floors, "_", color=ORANGE, ms=11, mew=1.8, label="prompt lookup", zorder=1)
    points = [(cost, entry.length) for cost, entry in zip(costs, entries, strict=True)]
    dashes = [[point, point] for point in zip(costs, floors, strict=True)]
    _finish(axes, points, entries, dashes, "What drafts cost, and what they bring")


def speedups(axes: Axes, entries: Sequence[SweepRow]) -> None:
    """With 95 % intervals where there are any."""
    axes.set(xlabel="seconds of training", ylabel="speedup of decoding")
    points = [(entry.training_seconds or 0.0, entry.speedup) for entry in entries]
    bars = [
        [(x, entry.report.speedup.low), (x, entry.report.speedup.high)]
        for (x, _), entry in zip(points, entries, strict=True)
        if entry.report
    ]
    for bar in bars:
        axes.plot(*zip(*bar, strict=True), color=BLUE, alpha=0.3, lw=2, zorder=1)
    axes.axhline(1, color=GREY, lw=1, ls="--", label="plain decoding", zorder=0)
    _finish(axes, points, entries, bars, "What training costs, and what it brings")


def _finish(
    axes: Axes,
    points: Sequence[Point],
    entries: Sequence[SweepRow],
    drawn: Sequence[Sequence[Point]],
    title: str,
) -> None:
    """Points, their front and their names, which keep away from the lines `drawn` already."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(title)
    if not points:
        axes.set(xticks=[], yticks=[])
        axes.text(0.5, 0.5, "not measured", transform=axes.transAxes, ha="center", color=GREY)
        return
    best = front(points)
    steps = [best[0], *(p for a, b in pairwise(best) for p in ((b[0], a[1]), b))]
    axes.plot(*zip(*steps, strict=True), color=GREEN, lw=1.2, label="Pareto front", zorder=1)
    axes.plot(*zip(*points, strict=True), "o", color=BLUE, ms=5.5)
    axes.plot(*zip(*best, strict=True), "o", color=GREEN, ms=5.5)
    _scale(axes, [x for x, _ in points])
    axes.margins(x=0.18, y=0.16)  # space for names
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2)
    label_points(axes, points, [entry.label for entry in entries], [steps, *drawn])


def _scale(axes: Axes, costs: Sequence[float]) -> None:
    """Logarithmic if costs differ tenfold or more."""
    if min(costs) > 0 and max(costs) >= 10 * min(costs):
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
