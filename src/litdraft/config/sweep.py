"""The one table that a sweep ends with."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.table import Table

from litdraft.models.files import replacing

ERROR = "error.txt"
REPORT = "report.json"


class SweepTable(Callback):
    """Reads what every job left in its folder; a failed job is a row that says why."""

    failures = 0  # of the last sweep: the exit status

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        folder = Path(config.hydra.sweep.dir)
        rows = [row(job) for job in sorted(folder.iterdir()) if (job / ".hydra").is_dir()]
        if rows:
            write(rows, folder)
            show(rows, folder)
        SweepTable.failures = len(list(folder.glob(f"*/{ERROR}")))


def row(job: Path) -> dict[str, str]:
    """One job: what it was asked for, and what came of it."""
    overrides = OmegaConf.to_container(OmegaConf.load(job / ".hydra" / "overrides.yaml"))
    asked = dict(str(override).split("=", 1) for override in overrides or [])
    outcome = {"outcome": "failed: " + _first_line(job / ERROR)} if (job / ERROR).exists() else {}
    if not outcome and (job / REPORT).exists():
        report = json.loads((job / REPORT).read_text(encoding="utf-8"))
        outcome = {
            "mean acceptance length": f"{report['mean_acceptance_length']:.3f}",
            "predicted": f"{report['predicted_mean_acceptance_length']:.3f}",
            "lookup": f"{report['floor']['lookup']:.3f}",
            "speedup": "{value:.2f} [{low:.2f}, {high:.2f}]".format(**report["speedup"]),
            "mismatches": str(report["losslessness"]["mismatches"]),
            "outcome": "done",
        }
    return {**asked, **(outcome or {"outcome": "no report"}), "folder": job.name}


def write(rows: list[dict[str, str]], folder: Path) -> None:
    """sweep.csv and sweep.md."""
    columns = columns_of(rows)
    with (
        replacing(folder / "sweep.csv") as path,
        path.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
    lines = [columns, ["---"] * len(columns), *([r.get(c, "") for c in columns] for r in rows)]
    with replacing(folder / "sweep.md") as path:
        text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        path.write_text(text + "\n", encoding="utf-8")


def show(rows: list[dict[str, str]], folder: Path) -> None:
    columns = columns_of(rows)
    table = Table(*columns, title=f"{len(rows)} jobs; {folder}/sweep.csv and sweep.md")
    for entry in rows:
        table.add_row(*(entry.get(column, "") for column in columns))
    Console().print(table)


def columns_of(rows: list[dict[str, str]]) -> list[str]:
    """Every job's columns: what was asked first, then outcomes, the folder last."""
    seen = dict.fromkeys(column for entry in rows for column in entry)
    ends = ("outcome", "folder")
    return [column for column in seen if column not in ends] + list(ends)


def _first_line(path: Path) -> str:
    return (path.read_text(encoding="utf-8").strip().splitlines() or ["no reason given"])[0]
