"""The runs that benchmarks are made of: each train.py and evaluate.py once, resumed where it was
interrupted. Finished runs are not made again: delete them below outputs/ to repeat them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from litdraft.io import read_json, write_json
from litdraft.reports.plain import to_plain
from litdraft.reports.schema import AcceptanceFigures, OtherSampling, Report
from litdraft.reports.words import percent, with_interval

SHARED = Path(os.environ.get("LITDRAFT_SHARED") or "../shared")
OUTPUTS = Path("outputs")
Values = dict[str, Any]
Block = Report | OtherSampling


def launch(*words: str) -> None:
    print("python", *words, flush=True)
    subprocess.run([sys.executable, *words], check=True)


def trained(folder: Path, *choices: str) -> Values:
    """The manifest of a training with these choices."""
    if not (folder / "manifest.json").exists():
        resume = (folder / "checkpoints" / "last.ckpt").exists()
        again = ["resume=true"] if resume else []
        launch("train.py", f"name={folder.name}", *choices, *again)
    return read_json(folder / "manifest.json")


def evaluated(folder: Path, *choices: str) -> Report:
    """The report of an evaluation with these choices."""
    return Report.load(ran(folder / "report.json", *choices))


def ran(path: Path, *choices: str) -> Path:
    """The file that an evaluation with these choices writes."""
    if not path.exists():
        launch("evaluate.py", *choices)
    return path


def keep(report: Report, path: Path) -> None:
    """Store a report among the results."""
    write_json(path, to_plain(report))


def kept(folder: Path) -> dict[str, Report]:
    """The stored reports by name, in alphabetical order."""
    return {path.stem: Report.load(path) for path in sorted(folder.glob("*.json"))}


def both(report: Report, tell: Callable[[Block], str]) -> str:
    """A figure under the main sampling, and after a slash under the other one."""
    return f"{tell(report)} / {tell(report.other_sampling)}"


def length(figures: AcceptanceFigures) -> str:
    return f"{figures.mean_acceptance_length:.2f}"


def by_position(figures: AcceptanceFigures) -> str:
    """How often each draft position is accepted where it is reached."""
    return " ".join(f"{100 * rate:.0f}" for rate in figures.conditional_acceptance)


def speedup(block: Block) -> str:
    return with_interval(block.speedup)


def repeats(figures: AcceptanceFigures) -> str:
    return percent(figures.repeated_4grams, 0)


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Markdown."""
    rule = "|" + " --- |" * len(head)
    cells = ["| " + " | ".join(line) + " |" for line in (head, *lines)]
    return "\n".join([cells[0], rule, *cells[1:]])
