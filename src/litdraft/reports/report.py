"""report.json, report.md and what the terminal shows: one dictionary, told three times."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from litdraft.reports.markdown import drafting, keep, pace_of, table
from litdraft.reports.tables import (
    COLUMNS,
    GROUP_COLUMNS,
    QUALITY,
    by_group,
    by_reference,
    chosen,
    group_rows,
    quality_rows,
    rows,
)


def headline(report: dict[str, Any]) -> str:
    """The first thing a reader should know, also when it is disappointing."""
    drafter, ours = report["drafter"], report["mean_acceptance_length"]
    lookup = report["floor"]["lookup"]
    if report["losslessness"]["mismatches"]:
        bad = report["losslessness"]["mismatches"]
        return f"NOT LOSSLESS: {bad} emitted tokens are not the target's. This is a bug."
    pace = f"decodes {pace_of(report, report['speedup'], 2)}"
    if drafter != "lookup" and lookup >= ours:
        return (
            f"Prompt lookup beats {drafter}: {lookup:.2f} tokens a round against {ours:.2f}; "
            f"with {drafter} {report['target']} {pace}."
        )
    return f"With {drafter} {report['target']} {pace}, {ours:.2f} tokens a round."


def markdown(report: dict[str, Any]) -> str:
    lossless = report["losslessness"]
    prefill = report["speedup_with_prefill"]
    positions = zip(report["conditional_acceptance"], report["survival"], strict=True)
    lines = [
        f"# {report['drafter']} drafting for {report['target']}, k = {report['k']}",
        "",
        f"**{headline(report)}**",
        "",
        "Mean acceptance length, in tokens a round:",
        "",
        *table([COLUMNS, *rows(report)]),
        "",
        "Floors are measured by replay on the same texts. Small models loop, and loops are easy "
        "to draft: look at the share of repeated 4-grams.",
        "",
        *table(
            [
                ["draft position", "accepted where reached", "accepted of all rounds"],
                *(
                    [str(j), f"{100 * c:.1f} %", f"{100 * s:.1f} %"]
                    for j, (c, s) in enumerate(positions, start=1)
                ),
            ]
        ),
        "",
        *by_group(report),
        *by_reference(report),
        *chosen(report),
        "![acceptance](acceptance.png) ![lengths](lengths.png) ![speed](speed.png)",
        "",
        *table(
            [
                ["", "value"],
                ["tokens per second, plain", f"{report['baseline_tokens_per_second']:.1f}"],
                ["tokens per second, drafted", f"{report['tokens_per_second']:.1f}"],
                ["speedup of decoding", pace_of(report, report["speedup"], 3)],
                ["speedup with prefill", pace_of(report, prefill, 3)],
                ["drafting, milliseconds a round", drafting(report)],
                ["prompts", f"{report['prompts']}, {report['tokens']} tokens behind the first"],
                ["prompts with identical greedy text", f"{lossless['identical']}"],
                ["near ties", f"{lossless['near_ties']} (within {lossless['tolerance']:.1e})"],
                ["mismatches", f"{lossless['mismatches']}"],
            ]
        ),
        "",
        "Intervals: 95 %, paired bootstrap over what was timed together "
        f"({report['timed_batches']} batches of {report['batch']}). Losslessness is judged on a "
        "greedy run, every token by a teacher-forced float32 pass.",
        "",
        f"`{report['command']}`",
        "",
        f"commit {report['commit']}, {report['device']}, {report['dtype']}, seed "
        f"{report['seed']}, compile {report['compile']}, "
        f"fused {str(report['fused']).lower()}, "
        + ", ".join(f"{name} {version}" for name, version in report["versions"].items()),
        "",
    ]
    return "\n".join(lines)


def write(report: dict[str, Any], folder: Path) -> None:
    keep("report", report, markdown(report), folder)


def show(report: dict[str, Any], folder: Path) -> None:
    """The headline and one table; the rest is in report.md."""
    console = Console(highlight=False)
    seen = Table(*COLUMNS, title="mean acceptance length", title_justify="left")
    for line in rows(report):
        seen.add_row(*line)
    lossless = report["losslessness"]
    console.print(f"\n{headline(report)}", style="bold", markup=False)
    console.print(seen)
    if report["groups"]:
        first, *others = GROUP_COLUMNS
        parts = Table(Column(first, no_wrap=True), *others, title="by category")
        parts.title_justify = "left"
        for line in group_rows(report):
            parts.add_row(*line)
        console.print(parts)
    if "quality" in report:
        texts = Table("", "", *QUALITY.values(), title="by the references, in hundredths")
        texts.title_justify = "left"
        for line in quality_rows(report):
            texts.add_row(*line)
        console.print(texts)
    console.print(
        f"{report['baseline_tokens_per_second']:.0f} tokens/s plain, "
        f"{report['tokens_per_second']:.0f} with the drafter; {lossless['identical']} of "
        f"{lossless['prompts']} greedy texts identical, {lossless['near_ties']} near ties, "
        f"{lossless['mismatches']} mismatches"
    )
    places = f"report: {folder}/report.md, report.json and three plots"
    console.print(places, markup=False, soft_wrap=True)
