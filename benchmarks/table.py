"""Rows of benchmarks/README.md from saved reports: python benchmarks/table.py results/*.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HEAD = (
    "| report | target | drafter | k | decoding | tokens a round | by replay | lookup | untrained "
    "| speedup [95 %] | with prefill | tokens/s plain, drafted | identical, near ties, mismatches "
    "| repeated 4-grams |"
)


def rows(report: dict[str, Any], name: str) -> list[str]:
    """One row a temperature; what is judged or timed once stands in its own row."""
    lossless = report["losslessness"]
    judged = f"{lossless['identical']} of {lossless['prompts']}, {lossless['near_ties']}, "
    judged += str(lossless["mismatches"])
    lines = []
    for block in (report, report["beside"]):
        main = block is report
        prefill = interval(report["speedup_with_prefill"]) if main else ""
        pace = f"{report['baseline_tokens_per_second']:.0f}, {report['tokens_per_second']:.0f}"
        cells = [
            name,
            report["target"],
            report["drafter"],
            str(report["k"]),
            "greedy" if block["temperature"] == 0 else f"temperature {block['temperature']:g}",
            f"{block['mean_acceptance_length']:.3f}",
            f"{block['predicted_mean_acceptance_length']:.3f}",
            f"{block['floor']['lookup']:.3f}",
            f"{block['floor']['untrained']:.3f}",
            interval(block["speedup"]),
            prefill,
            pace if main else "",
            judged if block["temperature"] == 0 else "",
            f"{100 * block['repeated_4grams']:.1f} %",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def interval(found: dict[str, float]) -> str:
    return "{value:.2f} [{low:.2f}, {high:.2f}]".format(**found)


def main() -> None:
    print(HEAD)
    print("|" + " --- |" * (HEAD.count("|") - 1))
    for path in map(Path, sys.argv[1:]):
        report = json.loads(path.read_text(encoding="utf-8"))
        if "beside" in report:  # other benchmarks lie there as well
            print("\n".join(rows(report, path.stem)))


if __name__ == "__main__":
    main()
