"""Tables that fit a terminal: the first column is never cut, heads wrap before figures do."""

from __future__ import annotations

from pathlib import Path
from textwrap import fill

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from litdraft.reports.document import Cells

HEAD_WIDTH = 8  # characters of a column's head before it wraps


def console() -> Console:
    return Console(highlight=False)


def table(title: str, cells: Cells) -> Table:
    """The first row of `cells` is the head."""
    head, *body = cells
    shown = Table(
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        show_edge=False,
        title=f"\n{title}",
        title_justify="left",
    )
    for index, name in enumerate(head):
        shown.add_column(
            escape(fill(name, HEAD_WIDTH, break_long_words=False)),
            justify="left" if index == 0 else "right",
            no_wrap=True,
        )
    for line in body:
        shown.add_row(*map(escape, line))
    return shown


def headline(to: Console, text: str) -> None:
    to.print(f"\n{text}", style="bold", markup=False)


def files(to: Console, kind: str, folder: Path, names: str) -> None:
    """Where the rest is; never wrapped, so that a path can be copied."""
    to.print(f"{kind}: {folder}/{names}", markup=False, soft_wrap=True)
