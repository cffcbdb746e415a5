"""The runs that benchmarks are made of: each train.py and evaluate.py once, taken up again where it
was interrupted. What is there is not made again: delete it below outputs/ to repeat it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from litdraft.io import read_json

SHARED = Path(os.environ.get("LITDRAFT_SHARED") or "../shared")
OUTPUTS = Path("outputs")
Report = dict[str, Any]


def launch(*words: str) -> None:
    print("python", *words, flush=True)
    subprocess.run([sys.executable, *words], check=True)


def trained(folder: Path, *choices: str) -> Report:
    """The manifest of a training with these choices."""
    if not (folder / "manifest.json").exists():
        resume = (folder / "checkpoints" / "last.ckpt").exists()
        again = ["resume=true"] if resume else []
        launch("train.py", f"name={folder.name}", *choices, *again)
    return read_json(folder / "manifest.json")


def evaluated(folder: Path, *choices: str, told: str = "report.json") -> Report:
    """What an evaluation of these choices writes into the folder."""
    if not (folder / told).exists():
        launch("evaluate.py", *choices)
    return read_json(folder / told)


def both(report: Report, tell: Callable[[Report], str]) -> str:
    """A figure as first measured, and behind a slash under the other sampling."""
    return f"{tell(report)} / {tell(report['beside'])}"


def length(block: Report) -> str:
    return f"{block['mean_acceptance_length']:.2f}"


def by_position(block: Report) -> str:
    """How often each draft position is accepted where it is reached."""
    return " ".join(f"{100 * rate:.0f}" for rate in block["conditional_acceptance"])


def speedup(block: Report) -> str:
    return "{value:.2f} [{low:.2f}, {high:.2f}]".format(**block["speedup"])


def repeats(block: Report) -> str:
    return f"{100 * block['repeated_4grams']:.0f} %"


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    rule = "|" + " --- |" * len(head)
    cells = ["| " + " | ".join(line) + " |" for line in (head, *lines)]
    return "\n".join([cells[0], rule, *cells[1:]])
