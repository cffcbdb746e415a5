"""The jobs of a sweep, fastest first, and the decision they lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from litdraft.reports.schema import Report
from litdraft.reports.words import milliseconds, times_as_fast, with_interval

ENDS = ("outcome", "folder")


@dataclass(frozen=True)
class SweepRow:
    """One job: the overrides that it alone has, its outcome, and its folder.

    `report` is report.json, None without one; `training_seconds` None if not recorded;
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
        """lstm, k=3: a group's choice speaks for itself, a number needs its key."""
        words = [
            value if "." not in key and value[:1].isalpha() else f"{key.split('.')[-1]}={short}"
            for key, value in self.asked.items()
            for short in (rounded(value),)
        ]
        return ", ".join(words) or self.folder.rsplit("/", 1)[-1]


def rounded(value: str) -> str:
    """A number with three digits: one that a sweeper drew is long."""
    try:
        return f"{float(value):.3g}" if "." in value else value
    except ValueError:
        return value


def ranked(entries: Sequence[SweepRow]) -> list[SweepRow]:
    """By speedup, then by mean acceptance length; what has no report comes last."""
    return sorted(entries, key=lambda entry: (-entry.speedup, -entry.length))


def figures(entry: SweepRow) -> dict[str, str]:
    """A row of sweep.csv: an empty string if something is not known."""
    row = dict(entry.asked)
    if (report := entry.report) is not None:
        row |= {
            "mean acceptance length": f"{report.mean_acceptance_length:.3f}",
            "predicted": f"{report.predicted_mean_acceptance_length:.3f}",
            "lookup": f"{report.floor.lookup:.3f}",
            "drafting ms per round": milliseconds(report.draft_milliseconds),
            "speedup": f"{report.speedup.value:.3f}",
            "speedup low": f"{report.speedup.low:.3f}",
            "speedup high": f"{report.speedup.high:.3f}",
            "parameters": str(report.parameters),
        }
    seconds = entry.training_seconds
    return row | {
        "training seconds": "" if seconds is None else f"{seconds:.1f}",
        "outcome": entry.outcome,
        "folder": entry.folder,
    }


def columns(rows: Sequence[dict[str, str]]) -> list[str]:
    """Every row's columns: overrides first, then figures, outcome and folder last."""
    seen = dict.fromkeys(column for row in rows for column in row)
    return [column for column in seen if column not in ENDS] + list(ENDS)


def cells(entries: Sequence[SweepRow]) -> list[list[str]]:
    """The same for people, the head first: a speedup and its interval in one cell."""
    rows = [figures(entry) for entry in entries]
    for row, entry in zip(rows, entries, strict=True):
        if entry.report is not None:
            del row["speedup low"], row["speedup high"]
            row["speedup"] = with_interval(entry.report.speedup)
            row["parameters"] = f"{entry.report.parameters:,}"
    head = columns(rows)
    return [head, *([row.get(column, "") for column in head] for row in rows)]


def decision(entries: Sequence[SweepRow]) -> list[str]:
    """What to deploy and what it gains, disappointing facts first. Empty if nothing was
    measured; a drafter that is not lossless cannot win."""
    sound = [
        (entry, entry.report)
        for entry in ranked(entries)
        if entry.report and not entry.report.losslessness.mismatches
    ]
    if not sound:
        return []
    first, report = sound[0]
    lines, floor = [], report.floor.lookup
    if report.drafter != "lookup" and floor >= first.length:
        lines.append(
            f"Prompt lookup beats the winner: {floor:.2f} tokens per round against "
            f"{first.length:.2f}."
        )
    if first.speedup <= 1:
        lines.append("No drafter of this sweep makes decoding faster.")
    lines.append(
        f"Winner: {first.label} decodes {times_as_fast(report.speedup, report.timed_batches)}, "
        f"{first.length:.2f} tokens per round: {first.again}"
    )
    return [*lines, *(against(first, report, *other) for other in sound[1:2])]


def against(first: SweepRow, one: Report, second: SweepRow, other: Report) -> str:
    """What the winner gains over the runner-up, and whether that is more than chance."""
    more = 100 * (first.speedup / second.speedup - 1)
    if min(one.timed_batches, other.timed_batches) < 2:
        sure = "measured on one batch, too little to exclude chance"
    elif one.speedup.low <= other.speedup.high:
        sure = "their intervals overlap"
    else:
        sure = "their intervals do not overlap"
    return (
        f"That is {more:.1f} % faster than the runner-up, {second.label} "
        f"({times_as_fast(other.speedup, other.timed_batches)}); {sure}."
    )
