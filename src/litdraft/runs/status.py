"""How far a job of a sweep has come, read from what lies in its folder."""

from __future__ import annotations

from enum import Enum
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from litdraft.config.schema import digest
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.runs.checkpoints import CHECKPOINTS, LAST

ERROR, MANIFEST, REPORT = "error.txt", "manifest.json", "report.json"


class Standing(Enum):
    """What is there already, and what a sweep then does."""

    NEW = "started"
    FAILED = "failed: tried again"
    INTERRUPTED = "interrupted: taken up again"
    TRAINED = "trained: only evaluated"
    FINISHED = "finished: skipped"


def standing(folder: Path, reported: bool) -> Standing:
    """`reported`: whether a finished job has a report."""
    trained = (folder / MANIFEST).exists()
    if (folder / REPORT).exists() or (trained and not reported):
        return Standing.FINISHED
    if trained:
        return Standing.TRAINED
    if (folder / CHECKPOINTS / f"{LAST}.ckpt").exists():
        return Standing.INTERRUPTED
    return Standing.FAILED if (folder / ERROR).exists() else Standing.NEW


def reported(config: DictConfig, sweeping: bool) -> bool:
    """Whether an evaluation belongs to a training: as evaluate= says, or in sweeps only."""
    if config.evaluate is not None:
        return bool(config.evaluate)
    return sweeping and config.target is not None


def check_same(config: DictConfig, folder: Path) -> None:
    """UserError if `folder` holds a finished training of other choices than these."""
    if not (folder / MANIFEST).exists():
        return
    theirs = OmegaConf.create(read_json(folder / MANIFEST)["config"])
    if digest(theirs) != digest(config):
        raise UserError(
            f"{folder} holds a run of other choices: leave out hydra.sweep.subdir, or give another "
            "hydra.sweep.dir"
        )
