"""What reports of every kind share: their tables, how they call things, and how they are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from litdraft.io import replacing, write_json


def table(cells: list[list[str]]) -> list[str]:
    """Markdown, the first row its head."""
    head, *body = ["| " + " | ".join(line) + " |" for line in cells]
    return [head, "|" + " --- |" * len(cells[0]), *body]


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def temperature(block: dict[str, Any]) -> str:
    return "greedy" if block["temperature"] == 0 else f"temperature {block['temperature']:g}"


def pace_of(report: dict[str, Any], pace: dict[str, float], digits: int) -> str:
    """A speedup in words; what was timed once has no interval, and says so."""
    value, low, high = (f"{pace[key]:.{digits}f}" for key in ("value", "low", "high"))
    spread = f"[{low}, {high}]" if report["timed_batches"] > 1 else "(one batch: no interval)"
    return f"{value} times as fast {spread}"


def drafting(report: dict[str, Any]) -> str:
    """Milliseconds; empty in reports that were written without them."""
    cost = report.get("draft_milliseconds")
    return "" if cost is None else f"{cost:.3f}"


def keep(name: str, told: dict[str, Any], text: str, folder: Path) -> None:
    """NAME.json and NAME.md, each whole or not at all."""
    write_json(folder / f"{name}.json", told)
    with replacing(folder / f"{name}.md") as path:
        path.write_text(text, encoding="utf-8")
