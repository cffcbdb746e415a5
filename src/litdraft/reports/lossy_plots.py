"""Plots of a lossy evaluation; each says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from litdraft.reports.lossy import EVENTS, lossy
from litdraft.reports.plots import BLUE, GREEN, GREY, ORANGE, drawn

COLOURS = (BLUE, ORANGE)


def draw_all(told: dict[str, Any], folder: Path) -> list[Path]:
    """tradeoff.png, speedup.png, ranked.png and calibration.png."""
    return [
        drawn(lambda axes: tradeoff(axes, told), folder / "tradeoff.png"),
        drawn(lambda axes: speedups(axes, told), folder / "speedup.png"),
        drawn(lambda axes: ranked(axes, told["blocks"][0]), folder / "ranked.png"),
        drawn(lambda axes: calibration(axes, told), folder / "calibration.png"),
    ]


def tradeoff(axes: Axes, told: dict[str, Any]) -> None:
    """Passes saved against how much of what was not verified is the target's."""
    _against(axes, told, lambda row: row["passes_saved"])
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(ylabel="target passes saved", title=f"{told['drafter']}, lossy: saved and kept")


def speedups(axes: Axes, told: dict[str, Any]) -> None:
    """Speedup against the same, and where the lossless twins lie."""
    _against(axes, told, lambda row: row["speedup"]["value"])
    block = told["blocks"][0]
    for row, style in zip((r for r in block["rows"] if not r["lossy"]), (":", "-.", "--"),
                          strict=False):  # fmt: skip
        name = f"{row['name']}, lossless, temperature {block['temperature']:g}"
        axes.axhline(row["speedup"]["value"], color=GREY, ls=style, label=name)
    axes.set(ylabel="times as fast", title=f"{told['drafter']}, lossy: speedup")
    axes.legend(frameon=False, fontsize=7)


def _against(axes: Axes, told: dict[str, Any], read: Any) -> None:
    for block, colour in zip(told["blocks"], COLOURS, strict=True):
        rows = [row for row in lossy(block) if row.get("agreement_measured") is not None]
        rows.sort(key=lambda row: float(row["agreement_measured"]))
        name = f"unverified (lossy), temperature {block['temperature']:g}"
        axes.plot([row["agreement_measured"] for row in rows], [read(row) for row in rows], "o-",
                  color=colour, label=name)  # fmt: skip
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.set_xlabel("of the unverified tokens, the target's")
    axes.legend(frameon=False, fontsize=8)


def ranked(axes: Axes, block: dict[str, Any]) -> None:
    """Precision and recall, beside what guessing has."""
    for (name, points), colour in zip(
        block["curves"]["ranked"].items(), (BLUE, ORANGE, GREEN), strict=True
    ):
        event = block["test"]["events"][name]
        axes.plot(*zip(*points, strict=True), color=colour,
                  label=f"{EVENTS[name]}: {event['area']:.2f}")  # fmt: skip
        axes.axhline(event["share"], color=colour, ls=":", lw=1)
    axes.set(xlabel="recall", ylabel="precision", ylim=(0, 1.03))
    axes.set_title(f"Which tokens are known (temperature {block['temperature']:g})")
    axes.legend(frameon=False, fontsize=8, title="average precision; dotted: guessing")


def calibration(axes: Axes, told: dict[str, Any]) -> None:
    """What is said, and what is so."""
    axes.plot([0, 1], [0, 1], color=GREY, lw=1)
    for block, colour in zip(told["blocks"], COLOURS, strict=True):
        wrong = block["test"]["calibration_error"]
        name = f"temperature {block['temperature']:g}: wrong by {100 * wrong:.1f} %"
        axes.plot(*zip(*block["curves"]["bins"], strict=True), "o-", color=colour, label=name)
    axes.set(xlabel="probability said", ylabel="share that agrees")
    axes.set_title("How sure, and how right")
    axes.legend(frameon=False, fontsize=8)
