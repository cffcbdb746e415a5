"""A training job and, in a sweep, the evaluation behind it."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from litdraft.config.evaluation import evaluate
from litdraft.config.restore import evaluation_config
from litdraft.config.schema import checked
from litdraft.config.training import train


def train_and_evaluate(config: DictConfig, folder: Path) -> float:
    """Train; then evaluate if asked to (evaluate=true, or a sweep). What was monitored."""
    score = train(config, folder)
    wanted = config.evaluate
    if wanted is None:
        wanted = HydraConfig.get().mode == RunMode.MULTIRUN and config.target is not None
    if wanted:
        keys = [f"{key}={value}" for key, value in config.evaluation.items()]
        evaluate(checked(evaluation_config([f"run={folder}", *keys])), folder)
    return score
