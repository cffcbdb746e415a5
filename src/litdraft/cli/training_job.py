"""A training job and, in a sweep, the evaluation after it."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from litdraft.config.build import is_trained
from litdraft.config.checks import checked, is_evaluated
from litdraft.config.evaluation import evaluate
from litdraft.config.training import train
from litdraft.io import read_json
from litdraft.runs.restore import evaluation_config
from litdraft.runs.same import check_same
from litdraft.runs.status import MANIFEST, REPORT, JobStatus, job_status


def train_and_evaluate(config: DictConfig, folder: Path) -> float:
    """Train; then evaluate if asked to (evaluate=true, or a sweep). What was monitored."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return _complete(config, folder)
    score = train(config, folder)
    if is_evaluated(config, sweeping=False):
        _evaluate(config, folder, trained=True)
    return score


def _complete(config: DictConfig, folder: Path) -> float:
    """Do what is missing of a sweep's job, and nothing twice. What was monitored; if there is
    nothing to train, the mean acceptance length that replay predicts, which is the same measure.
    """
    trains = is_trained(config)
    wanted = is_evaluated(config, sweeping=True) or not trains
    check_same(config, folder)
    status = job_status(folder, wanted)
    if status in (JobStatus.TRAINED, JobStatus.FINISHED) or not trains:
        score = None
    else:
        config.resume = status is JobStatus.INTERRUPTED
        score = train(config, folder)
    if wanted and status is not JobStatus.FINISHED:
        _evaluate(config, folder, trains)
    return _earlier(folder) if score is None else score


def _earlier(folder: Path) -> float:
    """The score of a job that was not trained now."""
    if not (folder / MANIFEST).exists():
        return float(read_json(folder / REPORT)["predicted_mean_acceptance_length"])
    manifest = read_json(folder / MANIFEST)
    return float(next(value for key, value in manifest.items() if key.startswith("val/")))


def _evaluate(config: DictConfig, folder: Path, trained: bool) -> None:
    """As the run had it, with the keys that evaluation.* gives."""
    keys = [f"{key}={value}" for key, value in config.evaluation.items()]
    chosen = evaluation_config([f"run={folder}", *keys])
    if not trained:
        chosen.run = None  # no weights to load
    evaluate(checked(chosen), folder)
