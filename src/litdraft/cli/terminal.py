"""What goes to standard error."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape


def complain(label: str, message: str) -> None:
    """One line in red on standard error."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]{label}:[/] {escape(message)}")
