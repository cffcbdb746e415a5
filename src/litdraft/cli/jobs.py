"""A training job and, in a sweep, the evaluation behind it."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import get_object
from omegaconf import DictConfig

from litdraft.config.schema import checked
from litdraft.evaluation.run import evaluate
from litdraft.io import read_json
from litdraft.protocols import Drafter
from litdraft.runs.restore import evaluation_config
from litdraft.runs.status import MANIFEST, REPORT, Standing, check_same, reported, standing
from litdraft.training.run import train


def train_and_evaluate(config: DictConfig, folder: Path) -> float:
    """Train; then evaluate if asked to (evaluate=true, or a sweep). What was monitored."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return _complete(config, folder)
    score = train(config, folder)
    if reported(config, sweeping=False):
        _evaluate(config, folder, trained=True)
    return score


def _complete(config: DictConfig, folder: Path) -> float:
    """Do what is missing of a sweep's job, and nothing twice. What was monitored; where there is
    nothing to train, the mean acceptance length that replay predicts, which is the same measure.
    """
    learning = learns(config)
    wanted = reported(config, sweeping=True) or not learning
    check_same(config, folder)
    at = standing(folder, wanted)
    if at in (Standing.TRAINED, Standing.FINISHED) or not learning:
        score = None
    else:
        config.resume = at is Standing.INTERRUPTED
        score = train(config, folder)
    if wanted and at is not Standing.FINISHED:
        _evaluate(config, folder, learning)
    return _earlier(folder) if score is None else score


def _earlier(folder: Path) -> float:
    """The score of a job that was not trained now."""
    if not (folder / MANIFEST).exists():
        return float(read_json(folder / REPORT)["predicted_mean_acceptance_length"])
    manifest = read_json(folder / MANIFEST)
    return float(next(value for key, value in manifest.items() if key.startswith("val/")))


def learns(config: DictConfig) -> bool:
    """Whether there is anything to train: otherwise a sweep only evaluates."""
    if config.drafter is None:
        return True  # which training refuses, in a sentence
    family = get_object(config.drafter._target_)
    return bool(getattr(family, "counted", False)) or family.states is not Drafter.states


def _evaluate(config: DictConfig, folder: Path, trained: bool) -> None:
    """As the run had it, with the keys that evaluation.* gives."""
    keys = [f"{key}={value}" for key, value in config.evaluation.items()]
    chosen = evaluation_config([f"run={folder}", *keys])
    if not trained:
        chosen.run = None  # no weights to load
    evaluate(checked(chosen), folder)
