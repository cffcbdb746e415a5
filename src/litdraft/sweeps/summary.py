"""The end of a sweep: sweep.csv, sweep.md and sweep.png, and a table on the terminal."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from litdraft.io import replacing
from litdraft.reports.document import table_lines
from litdraft.sweeps import pareto
from litdraft.sweeps.ranking import SweepRow, cells, columns, decision, figures

WIDE = 112  # columns of a terminal that the whole table takes
# Columns that a narrower terminal leaves out.
LONG, UNIMPORTANT = {"folder"}, {"predicted", "parameters"}


def summarize(rows: Sequence[SweepRow], folder: Path) -> None:
    """Write the files of a sweep, and show its table."""
    _write_csv(rows, folder / "sweep.csv")
    _write_markdown(rows, folder)
    pareto.draw(rows, folder / "sweep.png")
    show(rows, folder)


def _write_csv(rows: Sequence[SweepRow], path: Path) -> None:
    lines = [figures(row) for row in rows]
    with (
        replacing(path) as temporary,
        temporary.open("w", encoding="utf-8", newline="") as file,
    ):
        writer = csv.DictWriter(file, columns(lines), restval="")
        writer.writeheader()
        writer.writerows(lines)


def _write_markdown(rows: Sequence[SweepRow], folder: Path) -> None:
    lines = [
        f"# {folder.name}: {len(rows)} jobs",
        "",
        *(f"{line}\n" for line in decision(rows)),
        *table_lines(cells(rows)),
        "",
        "![front](sweep.png)",
        "",
    ]
    with replacing(folder / "sweep.md") as path:
        path.write_text("\n".join(lines), encoding="utf-8")


def show(rows: Sequence[SweepRow], folder: Path) -> None:
    """The columns for which the terminal is wide enough; why jobs failed; the decision."""
    console = Console(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = max(console.width, WIDE)
    console.print(_table(rows, LONG if console.width >= WIDE else LONG | UNIMPORTANT))
    for row in rows:
        if ": " in row.outcome:
            console.print(f"{row.label}: {row.outcome}", markup=False)
    for line in decision(rows):
        console.print(line, style="bold", markup=False)
    console.print(f"{folder}/sweep.md, sweep.csv and sweep.png", markup=False)


def _table(rows: Sequence[SweepRow], left_out: set[str]) -> Table:
    head, *body = cells(rows)
    shown = [index for index, name in enumerate(head) if name not in left_out]
    result = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), title=f"{len(rows)} jobs")
    result.title_justify = "left"
    for index in shown:
        name = fill(head[index], 8, break_long_words=False)
        result.add_column(name, no_wrap=head[index] != "speedup")
    for line in body:
        result.add_row(*(escape(line[index].partition(": ")[0]) for index in shown))
    return result
