"""How far a job has come, read from what is in its folder."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

CHECKPOINTS = "checkpoints"
BEST, LAST = "best", "last"
ERROR, MANIFEST, REPORT = "error.txt", "manifest.json", "report.json"

# What an evaluation takes over from its run, unless the command line gives it.
RESTORED_GROUPS = ("target", "drafter", "data")
RESTORED_KEYS = ("k", "seed", "temperature", "top_k", "top_p")


class JobStatus(Enum):
    """What is there already, and what a sweep then does."""

    NEW = "started"
    FAILED = "failed: tried again"
    INTERRUPTED = "interrupted: resumed"
    TRAINED = "trained: only evaluated"
    FINISHED = "finished: skipped"


def job_status(folder: Path, evaluated: bool) -> JobStatus:
    """`evaluated`: whether a finished job has a report."""
    trained = (folder / MANIFEST).exists()
    if (folder / REPORT).exists() or (trained and not evaluated):
        return JobStatus.FINISHED
    if trained:
        return JobStatus.TRAINED
    if (folder / CHECKPOINTS / f"{LAST}.ckpt").exists():
        return JobStatus.INTERRUPTED
    return JobStatus.FAILED if (folder / ERROR).exists() else JobStatus.NEW
