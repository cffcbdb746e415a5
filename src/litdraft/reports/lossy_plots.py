"""Plots of a lossy evaluation; each says that it is lossy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from litdraft.reports.lossy_schema import LossyBlock, LossyFigures, LossyReport
from litdraft.reports.plots import BLUE, GREEN, GREY, ORANGE, drawn

COLOURS = (BLUE, ORANGE)
NAMES = ("tradeoff", "speedup", "ranked", "calibration")
EVENTS = {"agrees": "target agrees", "0.9": "target: at least 0.9", "0.99": "target: at least 0.99"}


def draw_all(report: LossyReport, folder: Path) -> list[Path]:
    """A PNG file for each of NAMES."""
    return [
        drawn(lambda axes: tradeoff(axes, report), folder / "tradeoff.png"),
        drawn(lambda axes: speedups(axes, report), folder / "speedup.png"),
        drawn(lambda axes: ranked(axes, report.blocks[0]), folder / "ranked.png"),
        drawn(lambda axes: calibration(axes, report), folder / "calibration.png"),
    ]


def tradeoff(axes: Axes, report: LossyReport) -> None:
    """Target passes saved over how many of the unverified tokens agree with the target."""
    _over_agreement(axes, report, lambda figures: figures.target_passes_saved)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(ylabel="target passes saved", title=f"{report.drafter}, lossy: passes saved")


def speedups(axes: Axes, report: LossyReport) -> None:
    """Speedup over the same, and that of the lossless settings."""
    _over_agreement(axes, report, lambda figures: figures.speedup.value)
    block = report.blocks[0]
    for (row, figures), style in zip(block.measured(lossy=False), (":", "-.", "--"), strict=False):
        name = f"{row.name}, lossless, temperature {block.temperature:g}"
        axes.axhline(figures.speedup.value, color=GREY, ls=style, label=name)
    axes.set(ylabel="times as fast", title=f"{report.drafter}, lossy: speedup")
    axes.legend(frameon=False, fontsize=7)


def _over_agreement(
    axes: Axes, report: LossyReport, value: Callable[[LossyFigures], float]
) -> None:
    for block, colour in zip(report.blocks, COLOURS, strict=True):
        points = sorted(
            (figures.agreement, value(figures))
            for _, figures in block.measured(lossy=True)
            if figures.agreement is not None
        )
        name = f"unverified (lossy), temperature {block.temperature:g}"
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", color=colour, label=name)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("unverified tokens that agree with the target")
    axes.legend(frameon=False, fontsize=8)


def ranked(axes: Axes, block: LossyBlock) -> None:
    """Precision and recall, and what guessing reaches."""
    for (name, points), colour in zip(
        block.curves.ranked.items(), (BLUE, ORANGE, GREEN), strict=True
    ):
        event = block.test.events[name]
        axes.plot(*zip(*points, strict=True), color=colour,
                  label=f"{EVENTS[name]}: {event.average_precision:.2f}")  # fmt: skip
        axes.axhline(event.share, color=colour, ls=":", lw=1)
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.03))
    axes.set_title(f"What the drafter knows (temperature {block.temperature:g})")
    axes.legend(frameon=False, fontsize=8, title="average precision; dotted: guessing")


def calibration(axes: Axes, report: LossyReport) -> None:
    """Reliability: predicted probability and measured agreement."""
    axes.plot([0, 1], [0, 1], color=GREY, lw=1)
    for block, colour in zip(report.blocks, COLOURS, strict=True):
        error = block.test.calibration_error
        name = f"temperature {block.temperature:g}: wrong by {100 * error:.1f} %"
        axes.plot(*zip(*block.curves.bins, strict=True), "o-", color=colour, label=name)
    axes.set(xlabel="predicted probability", ylabel="share that agrees")
    axes.set_title("Calibration of the drafter's confidence")
    axes.legend(frameon=False, fontsize=8)
