"""study.json, study.md and what the terminal shows of a certainty study: one dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from litdraft.evaluation.average_precision import ORDERS, PRECISIONS
from litdraft.reports.markdown import keep, percent, table
from litdraft.studies.certainty import BOUNDS

NAMES = {"own": "the data's own text", "greedy": "written greedily", "sampled": "at temperature 1"}


def headline(told: dict[str, Any]) -> str:
    """The answer in one line, from the texts that decoding walks over."""
    name = "sampled" if "sampled" in told["texts"] else "own"
    text = told["texts"][name]
    return (
        f"{told['target']}, {NAMES[name]}: certain (at least 0.99) at {percent(text['share'][2])} "
        f"of {text['positions']:,} positions; skipping all of those would decode "
        f"{_times(text['speedup'][2])} as fast"
    )


HEADS = [f"{bound:g}" for bound in BOUNDS]


def share_cells(told: dict[str, Any]) -> list[list[str]]:
    """A line a set of texts, the head first: shares of positions by the largest probability."""
    return [
        ["certain, at least", *HEADS, "right", "repeats", "positions"],
        *(
            [
                NAMES[name],
                *map(percent, text["share"]),
                _ratio(text["right"][2], text["certain"][2]),
                percent(text["repeated_4grams"]),
                f"{text['positions']:,}",
            ]
            for name, text in told["texts"].items()
        ),
    ]


def speedup_cells(told: dict[str, Any]) -> list[list[str]]:
    """The same lines: predicted speedups of skipping what is certain."""
    lines = ([NAMES[name], *map(_times, text["speedup"])] for name, text in told["texts"].items())
    return [["skipped, at least", *HEADS], *lines]


def kind_cells(text: dict[str, Any]) -> list[list[str]]:
    """A line a kind of the likeliest token: shares of the positions of that kind."""
    return [
        ["certain, at least", *HEADS, "right", "of certain", "of all"],
        *(
            [
                name,
                *(_ratio(count, part["positions"]) for count in part["certain"]),
                _ratio(part["right"][2], part["certain"][2]),
                _ratio(part["certain"][2], text["certain"][2]),
                _ratio(part["positions"], text["positions"]),
            ]
            for name, part in text["kinds"].items()
        ),
    ]


def found_cells(text: dict[str, Any]) -> list[list[str]]:
    """Four lines a bound: how well the last 1, 2, ... tokens tell certainty."""
    cells = [["", "guessing", *(f"{order} seen" for order in ORDERS)]]
    for bound, some in text["detection"].items():
        if not some:
            continue
        base = some[0]["certain"] / some[0]["positions"]
        cells += [
            [f"{bound}: area", f"{base:.3f}", *(f"{found['area']:.3f}" for found in some)],
            *(
                [
                    f"{bound}: found at {100 * precision:g} %",
                    "",
                    *(percent(found["recall"][place]) for found in some),
                ]
                for place, precision in enumerate(PRECISIONS)
            ),
            [f"{bound}: speedup", "", *(_times(found["speedup"]) for found in some)],
        ]
    return cells


FOUND = (
    "Certainty told by the last tokens alone, fitted on half of the texts and judged on the "
    "others: the area under precision and recall, the share of certain positions that is found at "
    "two precisions, and the speedup if just what is found at the higher one were skipped:"
)


def markdown(told: dict[str, Any]) -> str:
    cost = " ".join(f"{1e3 * each:.3f}" for each in told["pass_seconds"])
    lines = [
        f"# How certain {told['target']} is",
        "",
        f"**{headline(told)}.**",
        "",
        "Shares of positions whose largest probability, of the target's own distribution at "
        "temperature 1, reaches a bound. *Right*: at 0.99, the text goes on with that token. "
        "*Repeats*: repeated 4-grams. *Of certain*: the share of all that are certain at 0.99.",
        "",
        *table(share_cells(told)),
        "",
        "Predicted speedups, from the costs of passes below, if every such token were written for "
        "nothing and read with the next one that the target must read:",
        "",
        *table(speedup_cells(told)),
        "",
        "![certainty](certainty.png) ![kinds](kinds.png) ![detection](detection.png)",
        "",
    ]
    for name, text in told["texts"].items():
        lines += [f"## {NAMES[name][0].upper()}{NAMES[name][1:]}", ""]
        lines += ["By kind of the likeliest token:", "", *table(kind_cells(text)), ""]
        if any(text["detection"].values()):
            lines += [FOUND, "", *table(found_cells(text)), ""]
    lines += [
        f"Milliseconds of a pass over 1, 2, ... {len(told['pass_seconds'])} tokens, up to the next "
        f"token: {cost}.",
        "",
        f"`{told['command']}`",
        "",
        f"commit {told['commit']}, {told['device']}, {told['dtype']}, seed {told['seed']}, fused "
        f"{str(told['fused']).lower()}, "
        + ", ".join(f"{name} {version}" for name, version in told["versions"].items()),
        "",
    ]
    return "\n".join(lines)


def write(told: dict[str, Any], text: str, folder: Path) -> None:
    """study.json and study.md."""
    keep("study", told, text, folder)


def show(told: dict[str, Any], folder: Path) -> None:
    """The headline and four tables, those by kind of the last set of texts."""
    console = Console(highlight=False)
    console.print(f"\n{headline(told)}", style="bold", markup=False)
    name, text = list(told["texts"].items())[-1]
    for title, (head, *body) in (
        ("share of positions by the largest probability", share_cells(told)),
        ("predicted speedup of skipping them", speedup_cells(told)),
        (f"by kind of the likeliest token, {NAMES[name]}", kind_cells(text)),
        (f"certainty told by the last tokens alone, {NAMES[name]}", found_cells(text)),
    ):
        seen = Table(Column(head[0], no_wrap=True), *head[1:], title=title, title_justify="left")
        for line in body:
            seen.add_row(*line)
        if body:
            console.print(seen)
    places = f"study: {folder}/study.md, study.json and three plots"
    console.print(places, markup=False, soft_wrap=True)


def _ratio(part: int, whole: int) -> str:
    return percent(part / whole) if whole else ""


def _times(speedup: float | None) -> str:
    return "" if speedup is None else f"{speedup:.2f}x"
