"""report.json, report.md and what the terminal shows: one dictionary, told three times."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table
from torch import Tensor

from litdraft.evaluation.benchmark import speedup, tokens_per_second
from litdraft.evaluation.losslessness import Verdicts
from litdraft.evaluation.quality import figures
from litdraft.evaluation.stats import Counts, Interval
from litdraft.models.files import replacing

FLOORS = ("lookup", "untrained")


def acceptance(counts: Counts) -> dict[str, Any]:
    """What rounds tell: rates from counts."""
    return {
        "mean_acceptance_length": counts.mean_acceptance_length,
        "acceptance_rate": counts.acceptance_rate,
        "conditional_acceptance": counts.conditional_acceptance,
        "survival": counts.survival,
        "accepted_lengths": counts.lengths_N.tolist(),
        "rounds": counts.rounds,
    }


def speed(times_n6: Any) -> dict[str, Any]:
    """What the clock tells: decoding alone, and with the prefill beside it."""
    plain, drafted = tokens_per_second(times_n6)
    prefill = times_n6[:, [0, 3]].sum(0)
    return {
        "tokens_per_second": drafted,
        "baseline_tokens_per_second": plain,
        "speedup": interval(speedup(times_n6)),
        "speedup_with_prefill": interval(speedup(times_n6, with_prefill=True)),
        "prefill_seconds": {"baseline": float(prefill[0]), "drafted": float(prefill[1])},
        "timed_batches": len(times_n6),
        "tokens": int(times_n6[:, 5].sum()),
    }


def interval(found: Interval) -> dict[str, float]:
    return found._asdict()


def losslessness(verdicts: Verdicts, tolerance: float) -> dict[str, Any]:
    return {
        "prompts": verdicts.prompts,
        "identical": verdicts.identical,
        "near_ties": verdicts.near_ties,
        "mismatches": verdicts.mismatches,
        "tolerance": tolerance,
    }


def quality(sums_2n: Tensor) -> dict[str, Any]:
    """Both sides by the references, from their sums; nothing where there are none."""
    texts = int(sums_2n[0, 0])
    if not texts:
        return {}
    baseline, drafted = map(figures, sums_2n)
    return {"quality": {"prompts": texts, "baseline": baseline, "drafted": drafted}}


def share(repeated: int, total: int) -> float:
    return repeated / max(total, 1)


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


def pace_of(report: dict[str, Any], pace: dict[str, float], digits: int) -> str:
    """A speedup in words; what was timed once has no interval, and says so."""
    value, low, high = (f"{pace[key]:.{digits}f}" for key in ("value", "low", "high"))
    spread = f"[{low}, {high}]" if report["timed_batches"] > 1 else "(one batch: no interval)"
    return f"{value} times as fast {spread}"


def drafting(report: dict[str, Any]) -> str:
    """Milliseconds; empty in reports that were written without them."""
    cost = report.get("draft_milliseconds")
    return "" if cost is None else f"{cost:.3f}"


def rows(report: dict[str, Any]) -> list[list[str]]:
    """Mean acceptance lengths: drafter and floors, at both temperatures."""
    table = []
    for block in (report, report["beside"]):
        floors = [f"{block['floor'][floor]:.3f}" for floor in FLOORS]
        table.append(
            [
                temperature(block),
                f"{block['mean_acceptance_length']:.3f}",
                f"{block['predicted_mean_acceptance_length']:.3f}",
                *floors,
                f"{100 * block['acceptance_rate']:.1f} %",
                f"{100 * block['repeated_4grams']:.1f} %",
            ]
        )
    return table


COLUMNS = ["", "drafter", "by replay", "lookup", "untrained", "drafts accepted", "repeated 4-grams"]


QUALITY = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "chrf": "chrF",
    "word_accuracy": "word accuracy",
}
SIDES = {"baseline": "plain", "drafted": "drafted"}


def quality_rows(report: dict[str, Any]) -> list[list[str]]:
    """Figures in hundredths, a line for each side at both temperatures."""
    return [
        [
            temperature(block),
            name,
            *(f"{100 * block['quality'][side][figure]:.1f}" for figure in QUALITY),
        ]
        for block in (report, report["beside"])
        for side, name in SIDES.items()
    ]


def by_reference(report: dict[str, Any]) -> list[str]:
    """How good the texts are, where there are references."""
    if "quality" not in report:
        return []
    return [
        "The texts by their references, in hundredths (prompts that have one: "
        f"{report['quality']['prompts']}):",
        "",
        *table([["", "", *QUALITY.values()], *quality_rows(report)]),
        "",
    ]


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


GROUP_COLUMNS = ["", "prompts", "drafter", "lookup", "untrained", "repeated 4-grams", "speedup"]


def group_rows(report: dict[str, Any]) -> list[list[str]]:
    """One line a category: mean acceptance lengths, and speedups where prompts ran one by one."""
    return [
        [
            name,
            str(part["prompts"]),
            f"{part['mean_acceptance_length']:.3f}",
            *(f"{part['floor'][floor]:.3f}" for floor in FLOORS),
            f"{100 * part['repeated_4grams']:.1f} %",
            "" if part["speedup"] is None else f"{part['speedup']:.2f}",
        ]
        for name, part in report["groups"].items()
    ]


def by_group(report: dict[str, Any]) -> list[str]:
    """The categories of the prompts, where there are several."""
    lines = []
    for block in (report, report["beside"]):
        if block["groups"]:
            lines += [f"By category, {temperature(block)}:", ""]
            lines += [*table([GROUP_COLUMNS, *group_rows(block)]), ""]
    if lines:
        lines += ["![categories](categories.png)", ""]
    return lines


def temperature(block: dict[str, Any]) -> str:
    return "greedy" if block["temperature"] == 0 else f"temperature {block['temperature']:g}"


def chosen(report: dict[str, Any]) -> list[str]:
    """How k=auto came to its k."""
    if not report["draft_lengths"]:
        return []
    rows = [
        [
            f"**{length['k']}**" if length["k"] == report["k"] else str(length["k"]),
            f"{length['mean_acceptance_length']:.3f}",
            f"{1e3 * length['round_seconds']:.3f}",
            f"{length['tokens_per_second']:.0f}",
        ]
        for length in report["draft_lengths"]
    ]
    head = ["k", "tokens a round, by replay", "ms a round, measured", "tokens per second"]
    return [
        "How far to draft, measured on validation prompts:",
        "",
        *table([head, *rows]),
        "",
        "![draft lengths](draft_lengths.png)",
        "",
    ]


def table(cells: list[list[str]]) -> list[str]:
    """Markdown, the first row its head."""
    head, *body = ["| " + " | ".join(line) + " |" for line in cells]
    return [head, "|" + " --- |" * len(cells[0]), *body]


def write(report: dict[str, Any], folder: Path) -> None:
    keep("report", report, markdown(report), folder)


def keep(name: str, told: dict[str, Any], text: str, folder: Path) -> None:
    """NAME.json and NAME.md, each whole or not at all."""
    with replacing(folder / f"{name}.json") as path:
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    with replacing(folder / f"{name}.md") as path:
        path.write_text(text, encoding="utf-8")


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
