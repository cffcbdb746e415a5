"""The jobs of a sweep's folder, as what they left there says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from litdraft.io import read_json
from litdraft.reports.schema import Report
from litdraft.runs.restore import GROUPS, KEYS
from litdraft.runs.status import ERROR, MANIFEST, REPORT
from litdraft.sweeps.ranking import SweepRow


def jobs(folder: Path) -> list[Path]:
    """The folders of its jobs: those that Hydra wrote notes into."""
    return [path for path in sorted(folder.glob("*")) if _notes(path)]


def entries(folder: Path) -> list[SweepRow]:
    """One a job; what all were asked alike is left out."""
    asked = {job: _asked(job) for job in jobs(folder)}
    keys = dict.fromkeys(key for words in asked.values() for key in words)
    varied = [k for k in keys if len({words.get(k) for words in asked.values()}) > 1]
    return [
        _entry(job, words, varied if len(asked) > 1 else list(keys)) for job, words in asked.items()
    ]


def _entry(job: Path, words: dict[str, str], keys: list[str]) -> SweepRow:
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
        f"python evaluate.py run={job}" if manifest else _as_it_is(words, report),
    )


def _outcome(job: Path, report: Report | None, manifest: dict[str, Any] | None) -> str:
    if (job / ERROR).exists():
        lines = (job / ERROR).read_text(encoding="utf-8").strip().splitlines()
        return "failed: " + (lines or ["no reason given"])[0]
    if report is not None:
        wrong = report.losslessness.mismatches
        return f"NOT LOSSLESS: {wrong} mismatches" if wrong else "done"
    if manifest is not None:
        best = next((k, v) for k, v in manifest.items() if k.startswith("val/"))
        return f"trained: {best[0]} {best[1]:.3f}"
    return "unfinished"


def _as_it_is(words: dict[str, str], report: Report | None) -> str:
    """The command that evaluates what this sweep did not train."""
    if report is None or "run" in words:
        return report.command if report else ""
    mine = [f"{k}={v}" for k, v in words.items() if k.split(".")[0] in (*GROUPS, *KEYS)]
    return " ".join(("python evaluate.py", *mine, *([] if "k" in words else [f"k={report.k}"])))


def _asked(job: Path) -> dict[str, str]:
    found: Any = OmegaConf.to_container(OmegaConf.load(_notes(job)[0]))
    return {key: value for word in found for key, _, value in (str(word).partition("="),)}


def _notes(job: Path) -> list[Path]:
    """What Hydra wrote down of a training, or else of an evaluation."""
    return sorted(job.glob(".hydra*/overrides.yaml"))
