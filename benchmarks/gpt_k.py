"""gpt-k's recipes on mix-13m: WMT14 German-English, with and without answered examples before every
prompt; and why the result is what it is.

    python benchmarks/gpt_k.py            # about an hour on two cores
    python benchmarks/gpt_k.py --table    # the table of what is there

Smaller than the recipe, to fit this machine: 2,000 of its 8,000 samples and two of its ten epochs,
an LSTM of width 512 instead of 2,048. Each row is one train.py and one evaluate.py on newstest2014.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runs import (
    OUTPUTS,
    SHARED,
    both,
    by_position,
    evaluated,
    keep,
    kept,
    length,
    table,
    trained,
)

from litdraft.reports.schema import Report

RESULTS = Path("benchmarks/results/gpt_k")
COMMON = [
    "target=llama", f"target.path={SHARED}/targets/mix-13m", "probe_prompts=0",
    f"data.path={SHARED}/data/wmt14/newstest", "trainer.max_epochs=2",
]  # fmt: skip
FEW, SHOTS = "data.samples=2000", ["data.shots=3", "data.truncate=left"]
MATRIX = ["experiment=gpt_k_matrix"]
LSTM = ["experiment=gpt_k_lstm", "drafter.width=512"]
ROWS = {
    "matrix": [*MATRIX, FEW],
    "matrix-shots": [*MATRIX, FEW, *SHOTS],
    "lstm": [*LSTM, FEW],
    "lstm-shots": [*LSTM, FEW, *SHOTS],
    "matrix-8000": MATRIX,
    "matrix-no_decay": [*MATRIX, FEW, "optimizer.weight_decay=0"],
    "matrix-target": [*MATRIX, FEW, "optimizer.weight_decay=0", "data.responses=target"],
}


def make(name: str) -> None:
    """Train and evaluate."""
    folder = OUTPUTS / f"gpt_k-{name}"
    trained(folder, *ROWS[name], *COMMON)
    keep(evaluated(folder, f"run={folder}", "prompts=48"), RESULTS / f"{name}.json")


def rows() -> str:
    """A line for each row: the greedy figures, and after a slash those at temperature 1."""
    head = ("row", "tokens per round", "accepted at 1, 2, 3", "lookup", "untrained", "speedup")
    found = kept(RESULTS)
    return table(head, [line(name, found[name]) for name in ROWS if name in found])


def line(name: str, report: Report) -> list[str]:
    return [
        f"`{name}`",
        both(report, length),
        both(report, by_position),
        both(report, lambda block: f"{block.floor.lookup:.2f}"),
        both(report, lambda block: f"{block.floor.untrained:.2f}"),
        both(report, lambda block: f"{block.speedup.value:.2f}"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--table", action="store_true", help="make nothing")
    asked = parser.parse_args()
    for name in [] if asked.table else asked.rows or ROWS:
        make(name)
    print(rows())


if __name__ == "__main__":
    main()
