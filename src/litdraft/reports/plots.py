"""The plots of a report."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from litdraft.io import replacing
from litdraft.reports.schema import Report
from litdraft.reports.words import times_as_fast

# Okabe and Ito's palette: readable with any colour vision.
BLUE, ORANGE, GREEN, GREY = "#0072B2", "#E69F00", "#009E73", "#999999"


def draw_all(report: Report, folder: Path) -> list[Path]:
    """acceptance.png, lengths.png and speed.png; categories.png where prompts have categories,
    draft_lengths.png where k was chosen."""
    drawings: dict[str, Callable[[Axes], None]] = {
        "acceptance": lambda axes: acceptance(axes, report),
        "lengths": lambda axes: lengths(axes, report),
        "speed": lambda axes: speed(axes, report),
    }
    if report.groups:
        drawings["categories"] = lambda axes: categories(axes, report)
    if report.draft_lengths:
        drawings["draft_lengths"] = lambda axes: draft_lengths(axes, report)
    return [drawn(draw, folder / f"{name}.png") for name, draw in drawings.items()]


def drawn(draw: Callable[[Axes], None], path: Path) -> Path:
    """One plot as a PNG file, written whole or not at all."""
    figure, axes = plt.subplots(figsize=(5.2, 3.6), layout="constrained")
    axes.spines[["top", "right"]].set_visible(False)
    draw(axes)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=140, format="png")
    plt.close(figure)
    return path


def categories(axes: Axes, report: Report) -> None:
    """Tokens per round by category, with prompt lookup's."""
    groups = dict(sorted(report.groups.items(), key=lambda item: item[1].mean_acceptance_length))
    rows = range(len(groups))
    lengths = [group.mean_acceptance_length for group in groups.values()]
    axes.barh(rows, lengths, color=BLUE, label=report.drafter)
    lookup = [group.floor.lookup for group in groups.values()]
    axes.plot(lookup, rows, "|", color=ORANGE, ms=9, mew=2, label="prompt lookup")
    axes.set(yticks=rows, yticklabels=list(groups), xlabel="tokens per round", xlim=(1, None))
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)


def acceptance(axes: Axes, report: Report) -> None:
    """Conditional acceptance and survival over draft positions, and what replay predicts."""
    positions = range(1, report.k + 1)
    axes.plot(positions, report.conditional_acceptance, "o-", color=BLUE, label="where reached")
    axes.plot(positions, report.survival, "s-", color=ORANGE, label="of all rounds")
    axes.plot(
        positions, report.predicted_survival, "x", color="black", ms=8, label="predicted by replay"
    )
    axes.set(xlabel="draft position", ylabel="drafts accepted", ylim=(0, 1.03), xticks=positions)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.legend(frameon=False)
    axes.set_title(f"{report.drafter}: {report.mean_acceptance_length:.2f} tokens per round")


def lengths(axes: Axes, report: Report) -> None:
    """How many rounds emitted how many tokens."""
    counts = report.accepted_lengths
    shares = [count / max(sum(counts), 1) for count in counts]
    bars = axes.bar(range(1, len(counts) + 1), shares, color=BLUE)
    axes.bar_label(bars, [f"{100 * share:.0f} %" for share in shares], padding=2)
    axes.set(
        xlabel="tokens emitted by a round (accepted drafts and the target's own)",
        ylabel="share of rounds",
        xticks=range(1, len(counts) + 1),
    )
    axes.margins(y=0.12)  # space for the numbers above the bars
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set_title(f"{100 * shares[-1]:.0f} % of {sum(counts)} rounds accepted all drafts")


def draft_lengths(axes: Axes, report: Report) -> None:
    """Expected tokens per second over k, from replay and measured rounds; orange: chosen."""
    lengths = report.draft_lengths
    paces = [length.tokens_per_second for length in lengths]
    axes.plot([length.k for length in lengths], paces, "o-", color=BLUE)
    axes.plot(report.k, max(paces), "o", color=ORANGE, ms=9)
    axes.set(xlabel="k, tokens drafted per round", ylabel="tokens per second, expected")
    axes.set_ylim(bottom=0)
    axes.set_xticks([length.k for length in lengths])
    axes.set_title(f"k = {report.k} is expected to be fastest")


def speed(axes: Axes, report: Report) -> None:
    """Tokens per second without and with the drafter, a dot for each batch."""
    means = (report.baseline_tokens_per_second, report.tokens_per_second)
    axes.bar((0, 1), means, width=0.6, color=(GREY, GREEN))
    if report.timings:  # reports of version 0 have none
        baseline = [t.baseline_tokens / t.baseline_decode_seconds for t in report.timings]
        drafted = [t.tokens / t.decode_seconds for t in report.timings]
        for bar, rates in enumerate((baseline, drafted)):
            spread = [bar + 0.25 * (i / max(len(rates) - 1, 1) - 0.5) for i in range(len(rates))]
            axes.plot(spread, rates, ".", color="black", alpha=0.5, ms=4)
    axes.set_xticks((0, 1), ("plain", report.drafter))
    axes.set_ylabel("tokens per second (decoding)")
    axes.set_title(times_as_fast(report.speedup, report.timed_batches))
