"""Three plots that say what the report says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from torch import Tensor

from litdraft.io import replacing
from litdraft.reports.markdown import pace_of

# Okabe and Ito's palette: told apart by everyone.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"


def draw_all(report: dict[str, Any], times_n6: Tensor, folder: Path) -> list[Path]:
    """acceptance.png, lengths.png and speed.png; categories.png where prompts have some,
    draft_lengths.png where k was chosen."""
    drawings: dict[str, Callable[[Axes], None]] = {
        "acceptance": lambda axes: acceptance(axes, report),
        "lengths": lambda axes: lengths(axes, report),
        "speed": lambda axes: speed(axes, report, times_n6),
    }
    if report["groups"]:
        drawings["categories"] = lambda axes: categories(axes, report)
    if report["draft_lengths"]:
        drawings["draft_lengths"] = lambda axes: draft_lengths(axes, report)
    return [drawn(draw, folder / f"{name}.png") for name, draw in drawings.items()]


def drawn(draw: Callable[[Axes], None], path: Path) -> Path:
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=140, format="png")
    plt.close(figure)
    return path


def categories(axes: Axes, report: dict[str, Any]) -> None:
    """Tokens a round by category, prompt lookup beside."""
    groups = dict(sorted(report["groups"].items(), key=lambda g: g[1]["mean_acceptance_length"]))
    places = range(len(groups))
    lengths = [part["mean_acceptance_length"] for part in groups.values()]
    axes.barh(places, lengths, color=BLUE, label=report["drafter"])
    lookup = [part["floor"]["lookup"] for part in groups.values()]
    axes.plot(lookup, places, "|", color=ORANGE, ms=9, mew=2, label="prompt lookup")
    axes.set(yticks=places, yticklabels=list(groups), xlabel="tokens a round", xlim=(1, None))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def acceptance(axes: Axes, report: dict[str, Any]) -> None:
    """Conditional acceptance and survival over draft positions, replay's prediction beside."""
    positions = range(1, report["k"] + 1)
    axes.plot(positions, report["conditional_acceptance"], "o-", color=BLUE, label="where reached")
    axes.plot(positions, report["survival"], "s-", color=ORANGE, label="of all rounds")
    axes.plot(
        positions, report["predicted_survival"], "x", color="black", ms=8, label="replay predicts"
    )
    axes.set(xlabel="draft position", ylabel="drafts accepted", ylim=(0, 1.03), xticks=positions)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False)
    axes.set_title(f"{report['drafter']}: {report['mean_acceptance_length']:.2f} tokens a round")


def lengths(axes: Axes, report: dict[str, Any]) -> None:
    """How many rounds emitted how many tokens."""
    counts = report["accepted_lengths"]
    shares = [count / max(sum(counts), 1) for count in counts]
    bars = axes.bar(range(1, len(counts) + 1), shares, color=BLUE)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shares], padding=2)
    axes.set(
        xlabel="tokens emitted by a round (accepted drafts and the target's own)",
        ylabel="share of rounds",
        xticks=range(1, len(counts) + 1),
    )
    axes.margins(y=0.12)  # room for the numbers above the bars
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title(f"{100 * shares[-1]:.0f} % of {sum(counts)} rounds accepted all drafts")


def draft_lengths(axes: Axes, report: dict[str, Any]) -> None:
    """Expected tokens a second over k, from replay and measured rounds, and which k was taken."""
    lengths = report["draft_lengths"]
    paces = [length["tokens_per_second"] for length in lengths]
    axes.plot([length["k"] for length in lengths], paces, "o-", color=BLUE)
    axes.plot(report["k"], max(paces), "o", color=ORANGE, ms=9)
    axes.set(xlabel="k, tokens drafted a round", ylabel="tokens per second, expected")
    axes.set_ylim(bottom=0)
    axes.set_xticks([length["k"] for length in lengths])
    axes.set_title(f"k = {report['k']} brings most tokens a second")


def speed(axes: Axes, report: dict[str, Any], times_n6: Tensor) -> None:
    """Tokens per second with and without the drafter, each batch a dot."""
    means = (report["baseline_tokens_per_second"], report["tokens_per_second"])
    rates = ((times_n6[:, 2] / times_n6[:, 1]), (times_n6[:, 5] / times_n6[:, 4]))
    axes.bar((0, 1), means, width=0.6, color=(GREY, GREEN))
    for place, rate_n in enumerate(rates):
        spread = [place + 0.25 * (i / max(len(rate_n) - 1, 1) - 0.5) for i in range(len(rate_n))]
        axes.plot(spread, rate_n.tolist(), ".", color="black", alpha=0.5, ms=4)
    axes.set_xticks((0, 1), ("plain", report["drafter"]))
    axes.set_ylabel("tokens per second (decoding)")
    axes.set_title(pace_of(report, report["speedup"], 2))
