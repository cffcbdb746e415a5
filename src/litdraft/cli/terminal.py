"""What goes to the terminal beside results, and what never should."""

from __future__ import annotations

import sys
from pathlib import Path


def program(command: str) -> str:
    """How to type a command here: as the console command, or as the script of a clone."""
    script = Path(sys.argv[0]).name in ("train.py", "evaluate.py")
    return f"python {command}.py" if script else f"litdraft {command}"


def complain(label: str, message: str) -> None:
    """One line in red on standard error."""
    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]{label}:[/] {escape(message)}")
