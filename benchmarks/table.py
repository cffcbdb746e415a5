"""Rows of benchmarks/README.md from saved reports: python benchmarks/table.py results/*.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from runs import table

from litdraft.reports.schema import Report
from litdraft.reports.words import percent, temperature, with_interval

HEAD = [
    "report", "target", "drafter", "k", "decoding", "tokens per round", "by replay", "lookup",
    "untrained", "speedup [95 %]", "with prefill", "tokens/s plain, drafted",
    "identical, near ties, mismatches", "repeated 4-grams",
]  # fmt: skip


def rows(report: Report, name: str) -> list[list[str]]:
    """One row for each sampling; what is judged or timed once is in its own row."""
    lossless = report.losslessness
    judged = f"{lossless.identical} of {lossless.prompts}, {lossless.near_ties}, "
    judged += str(lossless.mismatches)
    pace = f"{report.baseline_tokens_per_second:.0f}, {report.tokens_per_second:.0f}"
    return [
        [
            name,
            report.target,
            report.drafter,
            str(report.k),
            temperature(block.temperature),
            f"{block.mean_acceptance_length:.3f}",
            f"{block.predicted_mean_acceptance_length:.3f}",
            f"{block.floor.lookup:.3f}",
            f"{block.floor.untrained:.3f}",
            with_interval(block.speedup),
            with_interval(report.speedup_with_prefill) if block is report else "",
            pace if block is report else "",
            judged if block.temperature == 0 else "",
            percent(block.repeated_4grams),
        ]
        for block in (report, report.other_sampling)
    ]


def is_report(path: Path) -> bool:
    """Whether a file is the report of an evaluation: results/ holds others as well."""
    values = json.loads(path.read_text(encoding="utf-8"))
    return isinstance(values, dict) and not {"beside", "other_sampling"}.isdisjoint(values)


def main() -> None:
    reports = [path for path in map(Path, sys.argv[1:]) if is_report(path)]
    print(table(HEAD, [row for path in reports for row in rows(Report.load(path), path.stem)]))


if __name__ == "__main__":
    main()
