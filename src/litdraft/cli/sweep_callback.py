"""What a sweep says when it begins, and the decision that it ends with."""

from __future__ import annotations

import csv
import os
import sys
from pathlib import Path
from textwrap import fill
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from litdraft.config.checks import is_evaluated
from litdraft.config.groups import build
from litdraft.io import replacing, shortest
from litdraft.reports.markdown import table
from litdraft.runs.status import ERROR, JobStatus, job_status
from litdraft.sweeps import pareto
from litdraft.sweeps.ranking import ENDS, SweepRow, cells, columns, decision, figures, ranked
from litdraft.sweeps.results import entries, jobs

GROUP = "WANDB_RUN_GROUP"  # read by wandb itself
WIDE = 112  # columns of a terminal that the whole table takes


class SweepTable(Callback):
    """Tells what stands already; in the end reads what every job left in its folder, whichever
    process it ran in. A failed job is a row that says why."""

    failures = 0  # of the last sweep: the exit status

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        if "resume" not in config:  # of evaluations, which always run
            return
        for job in jobs(folder):
            at = job_status(job, is_evaluated(config, sweeping=True))
            if at is not JobStatus.NEW:
                _console().print(f"{job.name}: {at.value}")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = shortest(Path(config.hydra.sweep.dir))
        found = ranked(entries(folder))
        SweepTable.failures = len(list(folder.glob(f"*/{ERROR}")))
        if not found:
            return
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()  # or its jobs' last lines come behind the decision
        write(found, folder)
        show(found, folder)
        pareto.draw(found, folder / "sweep.png")
        if config.get("logger") is not None:
            log(config, found, folder)


def write(found: list[SweepRow], folder: Path) -> None:
    """sweep.csv and sweep.md."""
    rows = [figures(entry) for entry in found]
    with (
        replacing(folder / "sweep.csv") as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns(rows), restval="")
        writer.writeheader()
        writer.writerows(rows)
    lines = [
        f"# {folder.name}: {len(found)} jobs",
        "",
        *(f"{line}\n" for line in decision(found)),
        *table(cells(found)),
        "",
        "![front](sweep.png)",
        "",
    ]
    with replacing(folder / "sweep.md") as path:
        path.write_text("\n".join(lines), encoding="utf-8")


def show(found: list[SweepRow], folder: Path) -> None:
    """The table, as far as the terminal is wide enough for it; why jobs failed; the decision."""
    console = _console()
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    head, *rows = cells(found)
    left_out = {"folder"} if console.width >= WIDE else {"folder", "predicted", "parameters"}
    seen = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{len(found)} jobs")
    seen.title_justify = "left"
    shown = [place for place, name in enumerate(head) if name not in left_out]
    for place in shown:
        name = fill(head[place], 8, break_long_words=False)
        seen.add_column(name, no_wrap=head[place] != "speedup")
    for row in rows:
        seen.add_row(*(escape(row[place].partition(": ")[0]) for place in shown))
    console.print(seen)
    for entry in found:
        if ": " in entry.outcome:
            console.print(f"{entry.label}: {entry.outcome}", markup=False)
    for line in decision(found):
        console.print(line, style="bold", markup=False)
    console.print(f"{folder}/sweep.md, sweep.csv and sweep.png", markup=False)


def log(config: DictConfig, found: list[SweepRow], folder: Path) -> None:
    """The table to the tracker that the jobs wrote to, as a run of its own beside theirs."""
    os.environ.setdefault(GROUP, folder.name)
    logger = build(config.logger, save_dir=str(folder), name=folder.name)
    if hasattr(logger, "log_table"):
        rows = [figures(entry) for entry in found]
        head, words = columns(rows), {*ENDS, *(key for entry in found for key in entry.asked)}
        data = [
            [float(row[c]) if row.get(c) and c not in words else row.get(c) or None for c in head]
            for row in rows
        ]
        logger.log_table("sweep", columns=head, data=data)
    close_tracker()


def close_tracker() -> None:
    """Wandb keeps a run open, and what comes next in this process would be written into it."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)
