"""Plots of benchmarks/rounds.py: where a round's time goes, and how it grows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from litdraft.io import replacing
from litdraft.reports.plots import BLUE, GREEN, GREY, ORANGE

SKY, PINK = "#56B4E9", "#CC79A7"
ACTS = {
    "propose": ("drafter proposes", ORANGE),
    "read": ("target reads", BLUE),
    "target_probs": ("target answers", SKY),
    "commit": ("verify and extend", GREEN),
    "observe": ("drafter observes", PINK),
    "rest": ("everything else", GREY),
}
LABELS = {"context": "tokens of context", "k": "drafts a round", "batch": "rows"}


def draw_profile(profiles: dict[str, dict[str, float]], path: Path) -> None:
    """A bar a sampling, its acts stacked."""
    figure, axes = plt.subplots(figsize=(6.4, 2.6), layout="constrained")
    for place, told in enumerate(profiles.values()):
        left = 0.0
        for act, (label, colour) in ACTS.items():
            width = 1e3 * told.get(act, 0.0)
            axes.barh(place, width, left=left, color=colour, label="" if place else label)
            left += width
    axes.set_yticks(range(len(profiles)), list(profiles))
    axes.set_xlabel("milliseconds of a round")
    figure.legend(frameon=False, ncols=3, loc="outside upper center", fontsize=8)
    _save(figure, path)


def draw_growth(told: dict[str, Any], path: Path) -> None:
    """Milliseconds along context, k and rows; tokens a second along rows."""
    figure, grid = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    curves = {"round": BLUE, "target": SKY, "drafter": ORANGE, "floor": GREY}
    for axes, (name, points) in zip(grid, told["growth"].items(), strict=False):
        for key, colour in curves.items():
            style = "--" if key == "floor" else "o-"
            values = [1e3 * point[key] for point in points]
            axes.plot([p[name] for p in points], values, style, color=colour, label=key, ms=4)
        axes.set(xlabel=LABELS[name], ylabel="ms of a round", ylim=(0, None))
    rows = told["throughput"]
    for key, colour in (("plain", GREY), ("drafted", GREEN)):
        values = [row[key] for row in rows]
        grid[3].plot([r["batch"] for r in rows], values, "o-", color=colour, label=key, ms=4)
    grid[3].set(xlabel="rows", ylabel="tokens per second", ylim=(0, None))
    for axes in (grid[0], grid[3]):
        axes.legend(frameon=False, fontsize=8)
    _save(figure, path)


def _save(figure: Any, path: Path) -> None:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=140, format="png")
    plt.close(figure)
