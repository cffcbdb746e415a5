"""A training job and, in a sweep, the evaluation after it."""

from __future__ import annotations

from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from lightning.pytorch.utilities import rank_zero_only
from omegaconf import DictConfig
from rich.console import Console

from litdraft.cli.evaluation_job import evaluate
from litdraft.cli.terminal import program
from litdraft.config.build import is_trained
from litdraft.config.checks import checked, is_evaluated
from litdraft.config.training import training_options, training_parts
from litdraft.io import read_json
from litdraft.runs.restore import evaluation_config
from litdraft.runs.same import check_same, start_loader
from litdraft.runs.status import MANIFEST, REPORT, JobStatus, job_status
from litdraft.training.result import TrainingResult
from litdraft.training.run import train


def train_and_evaluate(config: DictConfig, folder: Path) -> float:
    """Train; then evaluate if asked to (evaluate=true, or a sweep). The monitored figure."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:
        return _complete(config, folder)
    score = _train(config, folder)
    if is_evaluated(config, sweeping=False):
        _evaluate(config, folder, trained=True)
    return score


def _complete(config: DictConfig, folder: Path) -> float:
    """Do what is missing of a sweep's job, and nothing twice. The monitored figure; if there is
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
        score = _train(config, folder)
    if wanted and status is not JobStatus.FINISHED:
        _evaluate(config, folder, trains)
    return _earlier(folder) if score is None else score


def _train(config: DictConfig, folder: Path) -> float:
    result = train(training_parts(config, start_loader(config)), training_options(config), folder)
    if not config.data.preview and not getattr(rank_zero_only, "rank", 0):
        _show_next(config, result)
    return result.score


def _show_next(config: DictConfig, result: TrainingResult) -> None:
    """The result in one line, and the command that uses it."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(
        f"{result.parameters:,} parameters trained; best {result.monitor} {result.score:.3f}; "
        f"run folder {result.folder}"
    )
    if config.target is None:
        kind = "llama" if result.drafter.encoder_decoder is None else "seq2seq"
        model = result.folder / "model"
        console.print(f"use it: {program('train')} target={kind} target.path={model}")
    else:
        console.print(f"evaluate it: {program('evaluate')} run={result.folder}")


def _earlier(folder: Path) -> float:
    """The score of a job that was not trained now."""
    if not (folder / MANIFEST).exists():
        return float(read_json(folder / REPORT)["predicted_mean_acceptance_length"])
    manifest = read_json(folder / MANIFEST)
    return float(next(value for key, value in manifest.items() if key.startswith("val/")))


def _evaluate(config: DictConfig, folder: Path, trained: bool) -> None:
    """As the run was trained, with the keys that evaluation.* gives."""
    keys = [f"{key}={value}" for key, value in config.evaluation.items()]
    chosen = evaluation_config([f"run={folder}", *keys])
    if not trained:
        chosen.run = None  # no weights to load
    evaluate(checked(chosen), folder)
