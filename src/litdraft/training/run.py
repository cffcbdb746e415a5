"""One training job: from its parts and options to a run folder."""

from __future__ import annotations

import time
from pathlib import Path

import lightning as L

from litdraft.data.rows import preview
from litdraft.errors import UserError
from litdraft.protocols import Counted, counts
from litdraft.runs.lock import locked
from litdraft.runs.status import BEST, CHECKPOINTS, LAST
from litdraft.training.datamodule import TextModule
from litdraft.training.finish import save_language_model_of, write_manifest
from litdraft.training.module import DrafterModule
from litdraft.training.options import TrainingOptions, TrainingParts
from litdraft.training.progress import console, show_summary
from litdraft.training.result import TrainingResult
from litdraft.training.setup import Setup, set_up
from litdraft.training.trainer import Training, build_training


def train(parts: TrainingParts, options: TrainingOptions, folder: Path) -> TrainingResult:
    """Train in `folder`; or, with loader.preview, show a few training rows and stop.

    UserError before any work if the input cannot be right.
    """
    with locked(folder):
        last = folder / CHECKPOINTS / f"{LAST}.ckpt"
        _check_resume(options, folder, last)
        L.seed_everything(options.seed, workers=True, verbose=False)
        setup = set_up(parts, options, folder)
        if options.loader.preview:
            return _preview(setup, options, folder)
        return _train(parts, options, setup, folder, last)


def _train(
    parts: TrainingParts, options: TrainingOptions, setup: Setup, folder: Path, last: Path
) -> TrainingResult:
    module, datamodule = setup.module, setup.datamodule
    training = build_training(parts, options, setup, folder)
    if training.trainer.is_global_zero:
        show_summary(console(), module, options)
    if counts(module.drafter):
        seconds = _count(training.trainer, module, datamodule, folder)
    else:
        resumed = last if options.resume else None
        training.trainer.fit(module, datamodule, ckpt_path=resumed, weights_only=True)
        seconds = training.timer.time_elapsed("train")
    result = TrainingResult(
        folder,
        module.monitor[0],
        _score(training, module),
        module.parameters_trained,
        seconds,
        module.drafter,
    )
    if training.trainer.is_global_zero:
        if module.target is None:
            save_language_model_of(module, training.best, folder, setup.tokenizer)
        write_manifest(result, options, module)
    return result


def _preview(setup: Setup, options: TrainingOptions, folder: Path) -> TrainingResult:
    data, module = setup.datamodule, setup.module
    rows = data.source.training(data.materials())
    preview.show(rows, options.loader.preview, setup.tokenizer, console())
    return TrainingResult(folder, module.monitor[0], float("nan"), 0, 0.0, module.drafter)


def _count(
    trainer: L.Trainer, module: DrafterModule, datamodule: TextModule, folder: Path
) -> float:
    """Let a drafter count its text, once, and validate it as others are; seconds of counting."""
    datamodule.trainer = trainer
    datamodule.setup("fit")
    started = time.perf_counter()
    drafter = module.drafter
    assert isinstance(drafter, Counted)
    drafter.count(datamodule.texts())
    seconds = time.perf_counter() - started
    trainer.validate(module, datamodule, verbose=False)
    for name in (LAST, BEST):
        trainer.save_checkpoint(folder / CHECKPOINTS / f"{name}.ckpt", weights_only=True)
    return seconds


def _score(training: Training, module: DrafterModule) -> float:
    best = training.checkpoint.best_model_score
    if counts(module.drafter):
        best = training.trainer.callback_metrics[module.monitor[0]]
    return float("nan") if best is None else float(best)


def _check_resume(options: TrainingOptions, folder: Path, last: Path) -> None:
    if options.resume and not last.exists():
        raise UserError(
            f"resume=true was given, but there is no {last}: "
            "give name=... of an interrupted run, or leave out resume"
        )
    if not options.resume and last.exists():
        raise UserError(
            f"{folder} holds a trained run already: resume=true continues it, "
            "name=... starts another beside it"
        )
