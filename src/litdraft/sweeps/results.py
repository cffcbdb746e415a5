"""The jobs of a sweep, read from what they left in its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from litdraft.io import read_json
from litdraft.reports.schema import Report
from litdraft.runs.status import ERROR, MANIFEST, REPORT, RESTORED_GROUPS, RESTORED_KEYS
from litdraft.sweeps.ranking import SweepRow


def jobs(folder: Path) -> list[Path]:
    """The folders of its jobs: those with Hydra's record of their overrides."""
    return [path for path in sorted(folder.glob("*")) if _records(path)]


def read_rows(folder: Path) -> list[SweepRow]:
    """One per job; overrides that all jobs share are left out."""
    asked = {job: _overrides(job) for job in jobs(folder)}
    keys = dict.fromkeys(key for words in asked.values() for key in words)
    varied = [k for k in keys if len({words.get(k) for words in asked.values()}) > 1]
    return [
        _row(job, words, varied if len(asked) > 1 else list(keys)) for job, words in asked.items()
    ]


def _row(job: Path, words: dict[str, str], keys: list[str]) -> SweepRow:
    report = Report.load(job / REPORT) if (job / REPORT).exists() else None
    manifest = read_json(job / MANIFEST) if (job / MANIFEST).exists() else None
    seconds = None if manifest is None else manifest.get("training_seconds")
    if manifest is None and report is not None and (job / ".hydra").exists():
        seconds = 0.0  # there was nothing to train
    return SweepRow(
        {key: value for key in keys if (value := words.get(key)) is not None},
        _outcome(job, report, manifest),
        str(job),
        report,
        seconds,
        f"litdraft evaluate run={job}" if manifest else _untrained_command(words, report),
    )


def _outcome(job: Path, report: Report | None, manifest: dict[str, Any] | None) -> str:
    if (job / ERROR).exists():
        lines = (job / ERROR).read_text(encoding="utf-8").strip().splitlines()
        return "failed: " + (lines or ["no reason given"])[0]
    if report is not None:
        wrong = report.losslessness.mismatches
        return f"NOT LOSSLESS: {wrong} mismatches" if wrong else "done"
    if manifest is not None:
        name, score = next((k, v) for k, v in manifest.items() if k.startswith("val/"))
        return f"trained: {name} {score:.3f}"
    return "unfinished"


def _untrained_command(words: dict[str, str], report: Report | None) -> str:
    """The command that evaluates what this sweep did not train."""
    if report is None or "run" in words:
        return report.command if report else ""
    restored = (*RESTORED_GROUPS, *RESTORED_KEYS)
    given = [f"{key}={value}" for key, value in words.items() if key.split(".")[0] in restored]
    k = [] if "k" in words else [f"k={report.k}"]
    return " ".join(("litdraft evaluate", *given, *k))


def _overrides(job: Path) -> dict[str, str]:
    words: list[Any] = yaml.safe_load(_records(job)[0].read_text(encoding="utf-8")) or []
    return {key: value for word in words for key, _, value in (str(word).partition("="),)}


def _records(job: Path) -> list[Path]:
    """Hydra's record of a training's overrides, or else of an evaluation's."""
    return sorted(job.glob(".hydra*/overrides.yaml"))
