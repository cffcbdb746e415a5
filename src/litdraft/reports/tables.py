"""The tables of a report, for its file and for the terminal."""

from __future__ import annotations

from typing import Any

from litdraft.reports.figures import FLOORS
from litdraft.reports.markdown import table, temperature


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
