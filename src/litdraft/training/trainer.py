"""Lightning's trainer for one run: checkpoints, loggers and what a person sees."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger, Logger

from litdraft.runs.status import BEST, CHECKPOINTS, LAST
from litdraft.training.callbacks import Interrupted, LastValidation, Probe, inside_epochs
from litdraft.training.module import DrafterModule
from litdraft.training.options import TrainingOptions, TrainingParts
from litdraft.training.progress import EpochLines, console
from litdraft.training.setup import Setup

METRICS = "metrics.csv"


@dataclass(frozen=True)
class Training:
    """A trainer, and those of its callbacks that are read afterwards."""

    trainer: L.Trainer
    checkpoint: ModelCheckpoint
    timer: Timer

    @property
    def best(self) -> Path:
        """The best checkpoint."""
        return Path(self.checkpoint.best_model_path)


def build_training(
    parts: TrainingParts, options: TrainingOptions, setup: Setup, folder: Path
) -> Training:
    checkpoint, timer = _checkpoint(setup.module, folder), Timer()
    callbacks = [
        checkpoint,
        inside_epochs(folder / CHECKPOINTS, LAST, options.save_minutes),
        timer,
        LastValidation(),
        LearningRateMonitor("step"),
    ]
    if setup.module.target is not None and options.probe_prompts > 0:
        callbacks.append(Probe(setup.datamodule, options.probe_prompts))
    callbacks += [EpochLines(console()), Interrupted()]  # the second after what it saves
    trainer = parts.build_trainer(
        default_root_dir=str(folder),
        devices=options.devices,
        accelerator=options.accelerator,
        logger=_loggers(parts, folder),
        enable_progress_bar=False,  # EpochLines shows it
        callbacks=callbacks,
    )
    return Training(trainer, checkpoint, timer)


def _checkpoint(module: DrafterModule, folder: Path) -> ModelCheckpoint:
    monitor, mode = module.monitor
    return ModelCheckpoint(
        dirpath=folder / CHECKPOINTS,
        filename=BEST,
        monitor=monitor,
        mode=mode,
        save_last=True,
        save_on_train_epoch_end=False,  # after the validation, which it judges by
        enable_version_counter=False,
    )


def _loggers(parts: TrainingParts, folder: Path) -> list[Logger]:
    """metrics.csv always; what the user chose beside it."""
    metrics = folder / METRICS
    if metrics.exists():  # Lightning would begin the file again
        number = len(list(folder.glob("metrics.*.csv"))) + 1
        metrics.rename(folder / f"metrics.{number}.csv")
    return [CSVLogger(folder, name="", version=""), *parts.build_loggers(folder)]
