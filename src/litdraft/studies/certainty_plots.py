"""Three plots of a certainty study."""

from __future__ import annotations

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from litdraft.reports.plots import BLUE, GREEN, GREY, ORANGE, drawn
from litdraft.studies.certainty import BOUNDS
from litdraft.studies.schema import CertaintyFigures, CertaintyReport

NAMES = {"own": "the data's own text", "greedy": "written greedily", "sampled": "at temperature 1"}
COLOURS = {"own": GREY, "greedy": BLUE, "sampled": ORANGE}


def draw_all(report: CertaintyReport, folder: Path) -> list[Path]:
    """certainty.png, kinds.png and detection.png; the last two of the last set of texts."""
    name, text = report.last_texts
    return [
        drawn(lambda axes: shares(axes, report), folder / "certainty.png"),
        drawn(lambda axes: kinds(axes, text, NAMES[name]), folder / "kinds.png"),
        drawn(lambda axes: detected(axes, text, NAMES[name]), folder / "detection.png"),
    ]


def shares(axes: Axes, report: CertaintyReport) -> None:
    """The share of positions by certainty, a bar for each set of texts."""
    texts = report.texts
    width = 0.8 / len(texts)
    for number, (name, text) in enumerate(texts.items()):
        x = [bound + (number - (len(texts) - 1) / 2) * width for bound in range(len(BOUNDS))]
        bars = axes.bar(x, text.share, width, color=COLOURS[name], label=NAMES[name])
        axes.bar_label(bars, [f"{100 * share:.0f}" for share in text.share], padding=1)
    axes.set_xticks(range(len(BOUNDS)), [f"{bound:g}" for bound in BOUNDS])
    axes.set(xlabel="largest probability at least", ylabel="share of positions")
    axes.margins(y=0.1)  # space for the numbers above the bars
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(frameon=False)
    axes.set_title(f"How certain {report.target} is")


def kinds(axes: Axes, text: CertaintyFigures, name: str) -> None:
    """Which kinds of tokens are certain: shares of the positions of each kind."""
    parts = sorted(text.kinds.items(), key=lambda item: item[1].positions)
    lower, higher = (
        [part.certain[column] / part.positions for _, part in parts] for column in (0, 2)
    )
    bars = axes.barh(range(len(parts)), lower, color=BLUE, label="at least 0.9")
    axes.barh(range(len(parts)), higher, color=GREEN, label="at least 0.99")
    labels = [
        f"{100 * high:.0f} %, {100 * low:.0f} % of {part.positions:,}"
        for high, low, (_, part) in zip(lower, higher, parts, strict=True)
    ]
    axes.bar_label(bars, labels, padding=3, fontsize=8)
    axes.set_yticks(range(len(parts)), [kind for kind, _ in parts])
    axes.set(xlabel="share of positions of that kind", xlim=(0, 1.4))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, title=name)


def detected(axes: Axes, text: CertaintyFigures, name: str) -> None:
    """How well the last tokens predict certainty, and what guessing reaches."""
    for (bound, some), colour, side in zip(
        text.detection.items(), (BLUE, GREEN), (6, -12), strict=True
    ):
        orders = [found.order for found in some]
        areas = [found.average_precision for found in some]
        axes.plot(orders, areas, "o-", color=colour, label=f"certain: at least {bound}")
        for order, area in zip(orders, areas, strict=True):
            axes.annotate(f"{area:.2f}", (order, area), (0, side), textcoords="offset points",
                          ha="center", fontsize=8)  # fmt: skip
        if some:
            rate = some[0].certain / some[0].positions
            axes.axhline(rate, color=colour, ls=":", label=f"guessing: {rate:.2f}")
    axes.set(xlabel="last tokens seen", ylabel="average precision", ylim=(0, 1.03))
    axes.set_xticks([found.order for found in next(iter(text.detection.values()))])
    axes.legend(frameon=False, fontsize=8)
    axes.set_title(f"Certainty predicted from the last tokens ({name})")
