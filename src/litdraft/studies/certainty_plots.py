"""Three plots of a certainty study."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from litdraft.reports.plots import BLUE, GREEN, GREY, ORANGE, drawn
from litdraft.studies.certainty import BOUNDS
from litdraft.studies.certainty_report import NAMES

COLOURS = {"own": GREY, "greedy": BLUE, "sampled": ORANGE}


def draw_all(told: dict[str, Any], folder: Path) -> list[Path]:
    """certainty.png, kinds.png and detection.png; the last two of the last set of texts."""
    name, text = list(told["texts"].items())[-1]
    return [
        drawn(lambda axes: shares(axes, told), folder / "certainty.png"),
        drawn(lambda axes: kinds(axes, text, NAMES[name]), folder / "kinds.png"),
        drawn(lambda axes: detected(axes, text, NAMES[name]), folder / "detection.png"),
    ]


def shares(axes: Axes, told: dict[str, Any]) -> None:
    """How many positions are how certain, a bar for each set of texts."""
    texts = told["texts"]
    width = 0.8 / len(texts)
    for number, (name, text) in enumerate(texts.items()):
        places = [place + (number - (len(texts) - 1) / 2) * width for place in range(len(BOUNDS))]
        bars = axes.bar(places, text["share"], width, color=COLOURS[name], label=NAMES[name])
        axes.bar_label(bars, [f"{100 * share:.0f}" for share in text["share"]], padding=1)
    axes.set_xticks(range(len(BOUNDS)), [f"{bound:g}" for bound in BOUNDS])
    axes.set(xlabel="largest probability at least", ylabel="share of positions")
    axes.margins(y=0.1)  # room for the numbers above the bars
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(frameon=False)
    axes.set_title(f"How certain {told['target']} is")


def kinds(axes: Axes, text: dict[str, Any], name: str) -> None:
    """Which kinds of tokens are certain: shares of the positions of each kind."""
    parts = sorted(text["kinds"].items(), key=lambda part: part[1]["positions"])
    less, more = (
        [part["certain"][column] / part["positions"] for _, part in parts] for column in (0, 2)
    )
    bars = axes.barh(range(len(parts)), less, color=BLUE, label="at least 0.9")
    axes.barh(range(len(parts)), more, color=GREEN, label="at least 0.99")
    told = [
        f"{100 * high:.0f} %, {100 * low:.0f} % of {part['positions']:,}"
        for high, low, (_, part) in zip(less, more, parts, strict=True)
    ]
    axes.bar_label(bars, told, padding=3, fontsize=8)
    axes.set_yticks(range(len(parts)), [kind for kind, _ in parts])
    axes.set(xlabel="share of positions of that kind", xlim=(0, 1.4))
    axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, title=name)


def detected(axes: Axes, text: dict[str, Any], name: str) -> None:
    """How well certainty is told by the last tokens, beside what guessing would reach."""
    for (bound, some), colour, side in zip(
        text["detection"].items(), (BLUE, GREEN), (6, -12), strict=True
    ):
        orders = [found["order"] for found in some]
        areas = [found["area"] for found in some]
        axes.plot(orders, areas, "o-", color=colour, label=f"certain: at least {bound}")
        for order, area in zip(orders, areas, strict=True):
            axes.annotate(f"{area:.2f}", (order, area), (0, side), textcoords="offset points",
                          ha="center", fontsize=8)  # fmt: skip
        if some:
            rate = some[0]["certain"] / some[0]["positions"]
            axes.axhline(rate, color=colour, ls=":", label=f"guessing: {rate:.2f}")
    axes.set(xlabel="last tokens seen", ylabel="area under precision and recall", ylim=(0, 1.03))
    axes.set_xticks([found["order"] for found in next(iter(text["detection"].values()))])
    axes.legend(frameon=False, fontsize=8)
    axes.set_title(f"Certainty, told by the last tokens ({name})")
