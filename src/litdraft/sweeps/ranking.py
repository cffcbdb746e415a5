"""The jobs of a sweep, best first, and the decision they come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from litdraft.reports.schema import Report
from litdraft.reports.words import milliseconds, times_as_fast, with_interval

ENDS = ("outcome", "folder")


@dataclass(frozen=True)
class SweepRow:
    """One job: what it alone was asked for, what came of it, and where it lies.

    `report` is report.json, None without one; `training_seconds` None if nobody wrote them down;
    `again` the command that measures it again.
    """

    asked: dict[str, str]
    outcome: str
    folder: str
    report: Report | None = None
    training_seconds: float | None = None
    again: str = ""

    @property
    def speedup(self) -> float:
        return float("-inf") if self.report is None else self.report.speedup.value

    @property
    def length(self) -> float:
        """Mean acceptance length, in tokens per round."""
        return float("-inf") if self.report is None else self.report.mean_acceptance_length

    @property
    def label(self) -> str:
        """lstm, k=3: a group's choice says what it is, a number needs its key."""
        told = [
            value if "." not in key and value[:1].isalpha() else f"{key.split('.')[-1]}={short}"
            for key, value in self.asked.items()
            for short in (rounded(value),)
        ]
        return ", ".join(told) or self.folder.rsplit("/", 1)[-1]


def rounded(value: str) -> str:
    """A number that was drawn is long."""
    try:
        return f"{float(value):.3g}" if "." in value else value
    except ValueError:
        return value


def ranked(entries: Sequence[SweepRow]) -> list[SweepRow]:
    """By speedup, then by mean acceptance length; what has no report comes last."""
    return sorted(entries, key=lambda entry: (-entry.speedup, -entry.length))


def figures(entry: SweepRow) -> dict[str, str]:
    """A row of sweep.csv: an empty string where something is not known."""
    row = dict(entry.asked)
    if (found := entry.report) is not None:
        row |= {
            "mean acceptance length": f"{found.mean_acceptance_length:.3f}",
            "predicted": f"{found.predicted_mean_acceptance_length:.3f}",
            "lookup": f"{found.floor.lookup:.3f}",
            "drafting ms per round": milliseconds(found.draft_milliseconds),
            "speedup": f"{found.speedup.value:.3f}",
            "speedup low": f"{found.speedup.low:.3f}",
            "speedup high": f"{found.speedup.high:.3f}",
            "parameters": str(found.parameters),
        }
    seconds = entry.training_seconds
    return row | {
        "training seconds": "" if seconds is None else f"{seconds:.1f}",
        "outcome": entry.outcome,
        "folder": entry.folder,
    }


def columns(rows: Sequence[dict[str, str]]) -> list[str]:
    """Every row's columns: what was asked first, then figures, outcome and folder last."""
    seen = dict.fromkeys(column for row in rows for column in row)
    return [column for column in seen if column not in ENDS] + list(ENDS)


def cells(entries: Sequence[SweepRow]) -> list[list[str]]:
    """The same for readers, its head first: a speedup and its interval in one cell."""
    rows = [figures(entry) for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        if entry.report is not None:
            del row["speedup low"], row["speedup high"]
            row["speedup"] = with_interval(entry.report.speedup)
            row["parameters"] = f"{entry.report.parameters:,}"
    head = columns(rows)
    return [head, *([row.get(column, "") for column in head] for row in rows)]


def decision(entries: Sequence[SweepRow]) -> list[str]:
    """What to deploy and what that gains, the disappointing part first. Empty if nothing was
    measured; a drafter that is not lossless cannot win."""
    sound = [
        (entry, entry.report)
        for entry in ranked(entries)
        if entry.report and not entry.report.losslessness.mismatches
    ]
    if not sound:
        return []
    first, report = sound[0]
    told, floor = [], report.floor.lookup
    if report.drafter != "lookup" and floor >= first.length:
        told.append(
            f"Prompt lookup beats the winner: {floor:.2f} tokens per round against "
            f"{first.length:.2f}."
        )
    if first.speedup <= 1:
        told.append("No drafter of this sweep makes decoding faster.")
    told.append(
        f"Winner: {first.label} decodes {times_as_fast(report.speedup, report.timed_batches)}, "
        f"{first.length:.2f} tokens per round: {first.again}"
    )
    return [*told, *(against(first, report, *other) for other in sound[1:2])]


def against(first: SweepRow, one: Report, second: SweepRow, other: Report) -> str:
    """What the winner gains over the runner-up, and whether that is more than chance."""
    more = 100 * (first.speedup / second.speedup - 1)
    if min(one.timed_batches, other.timed_batches) < 2:
        sure = "measured on one batch, which says nothing of chance"
    elif one.speedup.low <= other.speedup.high:
        sure = "their intervals overlap"
    else:
        sure = "their intervals do not overlap"
    return (
        f"That is {more:.1f} % faster than the runner-up, {second.label} "
        f"({times_as_fast(other.speedup, other.timed_batches)}); {sure}."
    )
