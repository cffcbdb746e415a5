"""docs/report.md as the schema's test reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

from litdraft.reports.plain import field_names

DOCS = Path(__file__).resolve().parents[2] / "docs" / "report.md"


def documented() -> dict[str, list[str]]:
    """The fields of every record, in the order of its table."""
    sections = re.split(r"^### ", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {
        section.split("\n", 1)[0]: re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE)
        for section in sections
    }


def own_fields(record: Any) -> list[str]:
    """The fields that a record adds to those it extends."""
    annotated = vars(record)["__annotations__"]
    return [name for name in field_names(record) if name in annotated]


def records(root: Any) -> dict[str, Any]:
    """A record, those it extends, and those that their fields hold, by name."""
    found: dict[str, Any] = {}
    waiting = [root]
    while waiting:
        record = waiting.pop()
        if record.__name__ in found:
            continue
        found[record.__name__] = record
        waiting += [base for base in record.__mro__[1:] if field_names(base)]
        for hint in get_type_hints(record).values():
            waiting += [part for part in _parts(hint) if field_names(part)]
    return found


def _parts(hint: Any) -> Iterator[Any]:
    yield hint
    for part in get_args(hint):
        yield from _parts(part)
