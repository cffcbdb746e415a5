"""gpt-k's recipes on mix-13m: WMT14 German-English, with and without answered examples before every
prompt; and why the result is what it is.

    python benchmarks/gpt_k.py            # about an hour on two cores
    python benchmarks/gpt_k.py --table    # the table of what is there

Smaller than the recipe, to fit this machine: 2,000 of its 8,000 samples and two of its ten epochs,
an LSTM of width 512 instead of 2,048. Each row is one train.py and one evaluate.py on newstest2014.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from families import SHARED, launch

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
    """Train and evaluate, unless that is done."""
    folder = Path("outputs") / f"gpt_k-{name}"
    if not (folder / "manifest.json").exists():
        resume = (folder / "checkpoints" / "last.ckpt").exists()
        words = [f"name={folder.name}", *ROWS[name], *COMMON]
        launch("train.py", *words, *(["resume=true"] if resume else []))
    if not (folder / "report.json").exists():
        launch("evaluate.py", f"run={folder}", "prompts=48")
    RESULTS.mkdir(exist_ok=True)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    text = json.dumps(report, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def table() -> str:
    """A line a row: the greedy figures, and behind a slash those at temperature 1."""
    head = ("row", "tokens a round", "accepted at 1, 2, 3", "lookup", "untrained", "speedup")
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    for name in ROWS:
        path = RESULTS / f"{name}.json"
        if not path.exists():
            continue
        report = json.loads(path.read_text(encoding="utf-8"))
        both = [
            (
                f"{block['mean_acceptance_length']:.2f}",
                " ".join(f"{100 * rate:.0f}" for rate in block["conditional_acceptance"]),
                f"{block['floor']['lookup']:.2f}",
                f"{block['floor']['untrained']:.2f}",
                f"{block['speedup']['value']:.2f}",
            )
            for block in (report, report["beside"])
        ]
        cells = [" / ".join(pair) for pair in zip(*both, strict=True)]
        lines.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(ROWS)}; all by default")
    parser.add_argument("--table", action="store_true", help="make nothing")
    asked = parser.parse_args()
    for name in [] if asked.table else asked.rows or ROWS:
        make(name)
    print(table())


if __name__ == "__main__":
    main()
