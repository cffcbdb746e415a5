"""lossy.json, lossy.md and what the terminal shows of a lossy evaluation: one dictionary."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Column, Table

from litdraft.reports.markdown import keep, pace_of, percent, table

HEAD = ["decoding", "setting", "tokens a pass", "passes saved", "unverified", "agree", "perplexity",
        "BLEU", "ROUGE-L", "repeats", "speedup"]  # fmt: skip
SHOWN = (0, 1, 3, 5, 10)  # of HEAD, on a terminal
EVENTS = {"agrees": "the target goes on so", "0.9": "and gives it 0.9", "0.99": "and gives it 0.99"}


def lossy(block: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of a block that were not verified."""
    return [row for row in block["rows"] if row["lossy"]]


def headline(told: dict[str, Any]) -> str:
    """The best lossy setting beside the best lossless one, in one line that says which is which."""
    block = told["blocks"][0]
    measured = [row for row in block["rows"] if "speedup" in row]
    unverified = [row for row in measured if row["lossy"] and row["agreement_measured"]]
    if not unverified:
        return (
            f"LOSSY, and nothing to save: {told['drafter']} is never sure enough behind "
            f"{told['target']} for what was asked."
        )

    def best(rows: list[dict[str, Any]]) -> dict[str, Any]:
        return max(rows, key=lambda row: float(row["speedup"]["value"]))

    row, twin = best(unverified), best([row for row in measured if not row["lossy"]])
    return (
        f"LOSSY: with {told['drafter']} unverified {told['target']} decodes "
        f"{pace_of(row, row['speedup'], 2)}, {_percent(row['agreement_measured'])} of what that "
        f"wrote being the target's; losslessly {twin['name']} decodes "
        f"{pace_of(twin, twin['speedup'], 2)}."
    )


def best_speedup(told: dict[str, Any]) -> float:
    """The lossy settings', 1 where nothing was skipped."""
    rows = lossy(told["blocks"][0])
    return max((float(row["speedup"]["value"]) for row in rows if "speedup" in row), default=1.0)


def setting(row: dict[str, Any]) -> str:
    """What a row was asked for."""
    if row.get("agreement") is not None:
        least = row["threshold"]
        reached = "never" if least is None else f"from {least:.3f} on"
        return f"{100 * row['agreement']:g} %: {reached}"
    if "bound" in row:
        return f"bound {row['bound']:g}"
    return f"from {row['threshold']:g} on" if row.get("threshold") is not None else ""


def cells(block: dict[str, Any]) -> list[list[str]]:
    """A line a setting, the head first."""
    lines = []
    for row in block["rows"]:
        line = [f"{row['name']}, {'LOSSY' if row['lossy'] else 'lossless'}", setting(row)]
        if "speedup" in row:
            spread = "{value:.2f} [{low:.2f}, {high:.2f}]".format(**row["speedup"])
            line += [
                f"{row['tokens_a_pass']:.2f}",
                _percent(row["passes_saved"]),
                _percent(row["kept"]) if row["lossy"] else "none",
                _percent(row["agreement_measured"]) if row["lossy"] else "all",
                f"{row['perplexity']:.2f} ({100 * (row['perplexity_ratio'] - 1):+.1f} %)",
                f"{100 * row['bleu']:.1f}",
                f"{100 * row['rougeL']:.1f}",
                _percent(row["repeated_4grams"]),
                spread if row["timed_batches"] > 1 else spread.partition(" ")[0],
            ]
        lines.append([*line, *[""] * (len(HEAD) - len(line))])
    return [HEAD, *lines]


def gate_cells(block: dict[str, Any]) -> list[list[str]]:
    """How well the drafter knows what it knows, on the test prompts' texts."""
    lines = []
    for name, event in block["test"]["events"].items():
        lines.append([EVENTS[name], _percent(event["share"]), f"{event['area']:.3f}"])
    return [["event", "share: what guessing has", "average precision"], *lines]


def above_cells(block: dict[str, Any]) -> list[list[str]]:
    """What passes each threshold, on the test prompts' texts."""
    lines = [
        [
            f"{part['threshold']:.3f}",
            f"{part['positions']:,}",
            _percent(part["share"]),
            _percent(part["agreement"]),
            f"{100 * part['calibration_error']:.2f} %",
        ]
        for part in block["above"]
    ]
    return [["threshold", "positions", "share", "agreement", "calibration error"], *lines]


def markdown(told: dict[str, Any]) -> str:
    parts = [
        f"# {told['drafter']} in front of {told['target']}, LOSSY",
        headline(told),
        f"`decoding={told['decoding']}`, k = {told['k']}, {told['prompts']} prompts, at most "
        f"{told['max_new_tokens']} tokens each, batch {told['batch']}. The losslessness check: "
        f"{told['losslessness']}.",
    ]
    for block in told["blocks"]:
        test, validation = block["test"], block["validation"]
        parts += [
            f"## Temperature {block['temperature']:g}",
            f"Written by the target alone: perplexity {block['perplexity']:.2f}, "
            f"{_percent(block['repeated_4grams'])} repeated 4-grams. Others are compared with it.",
            "\n".join(table(cells(block))),
            f"How sure the drafter is, calibrated on {validation['positions']:,} positions of "
            f"validation text, judged on {test['positions']:,} of test text: its likeliest token "
            f"agrees at {_percent(test['agreement'])}, and its probabilities are wrong by "
            f"{100 * test['calibration_error']:.2f} % on average.",
            "\n".join(table(gate_cells(block))),
            "\n".join(table(above_cells(block))),
        ]
    parts.append(
        f"{told['parameters']:,} parameters; {told['dtype']}{', fused' * told['fused']}; seed "
        f"{told['seed']}. `{told['command']}`"
    )
    return "\n\n".join(parts) + "\n"


def write(told: dict[str, Any], folder: Path) -> None:
    keep("lossy", told, markdown(told), folder)


def show(told: dict[str, Any], folder: Path) -> None:
    console = Console(highlight=False)
    console.print(f"\n{headline(told)}", style="bold", markup=False)
    for block in told["blocks"]:
        head, *lines = [[line[place] for place in SHOWN] for line in cells(block)]
        seen = Table(
            Column(head[0], no_wrap=True),
            *head[1:],
            title=f"temperature {block['temperature']:g}, LOSSY beside lossless",
        )
        seen.title_justify = "left"
        for line in lines:
            seen.add_row(*line)
        console.print(seen)
    console.print(f"the gate, and plots: {folder}/lossy.md", markup=False)


def _percent(share: float | None) -> str:
    return "" if share is None else percent(share)
