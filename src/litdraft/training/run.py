"""One training job, from a composed config to a run folder."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, RichProgressBar, Timer
from lightning.pytorch.callbacks.progress.rich_progress import RichProgressBarTheme
from lightning.pytorch.loggers import CSVLogger, Logger
from omegaconf import DictConfig
from rich.console import Console

from litdraft.checkpoints.load import save_language_model
from litdraft.config.build import (
    build,
    datamodule_of,
    drafter_of,
    dtype_of,
    maker,
    own_device,
    plain,
    sampling_of,
    target_opener,
    teacher_of,
    tokenizer_of,
)
from litdraft.data.rows import preview
from litdraft.errors import UserError
from litdraft.io import write_json
from litdraft.reports.provenance import provenance
from litdraft.runs.checkpoints import BEST, CHECKPOINTS, LAST, check_start, load_weights
from litdraft.runs.lock import claimed
from litdraft.tokenizers.base import Tokenizer
from litdraft.training.callbacks import Interrupted, LastValidation, Probe, inside_epochs
from litdraft.training.datamodule import TextModule
from litdraft.training.module import DrafterModule

METRICS = "metrics.csv"


def train(config: DictConfig, folder: Path) -> float:
    """Train in `folder`; the best value of what is monitored.

    UserError before any work if the input cannot be right.
    """
    with claimed(folder):
        return _train(config, folder)


def _train(config: DictConfig, folder: Path) -> float:
    last = folder / CHECKPOINTS / f"{LAST}.ckpt"
    _check_resume(config, folder, last)
    L.seed_everything(config.seed, workers=True, verbose=False)
    open_target = target_opener(config, dtype_of(config.dtype))
    target = open_target(own_device(config.trainer.accelerator)) if open_target else None
    if target is not None and not target.packs and config.data is not None and config.data.pack:
        raise UserError(f"{target.spec.name} cannot read packed rows: give data.pack=false")
    tokenizer = tokenizer_of(config, target, folder)
    teacher = teacher_of(config)
    module = DrafterModule(
        lambda spec: drafter_of(config, spec, tokenizer),
        open_target,
        build(config.objective),
        maker(config.optimizer),
        maker(config.schedule),
        k=config.k,
        sampling=sampling_of(config),
        config=plain(config),
        teacher=teacher,
    )
    module.to(own_device(config.trainer.accelerator))
    module.configure_model()  # a wrong drafter is told before the target writes its text
    if module.drafter.encoder_decoder is not None and config.data is not None and config.data.pack:
        raise UserError(f"drafter={module.drafter.name} reads a source: give data.pack=false")
    if module.drafter.counted and (config.devices > 1 or config.start is not None):
        raise UserError(
            f"drafter={module.drafter.name} counts its text in one process and from nothing: "
            "leave out devices and start"
        )
    if config.start is not None:
        check_start(config, Path(config.start))
        load_weights(module.drafter, Path(config.start))
        module.begun = True
    datamodule = datamodule_of(config, tokenizer, open_target, teacher, module.drafter)
    if config.data.preview:
        rows = datamodule.source.training(datamodule.materials())
        preview.show(rows, config.data.preview, tokenizer, Console(highlight=False))
        return float("nan")
    checkpoint, timer = _checkpoint(module, folder), Timer()
    trainer: L.Trainer = build(
        config.trainer,
        default_root_dir=str(folder),
        logger=_loggers(config, folder),
        callbacks=[
            checkpoint,
            inside_epochs(folder / CHECKPOINTS, LAST, config.save_minutes),
            timer,
            *_callbacks(config, datamodule, module),
            Interrupted(),
        ],
    )
    if module.drafter.counted:
        seconds = _count(trainer, module, datamodule, folder / CHECKPOINTS)
    else:
        trainer.fit(
            module, datamodule, ckpt_path=last if config.resume else None, weights_only=True
        )
        seconds = timer.time_elapsed("train")
    if module.target is None and trainer.is_global_zero:
        _save_language_model(module, checkpoint.best_model_path, folder, tokenizer)
    best = checkpoint.best_model_score
    if module.drafter.counted:
        best = trainer.callback_metrics[module.monitor[0]]
    score = float("nan") if best is None else float(best)
    if trainer.is_global_zero:
        _conclude(config, folder, module, score, seconds)
    return score


def _count(trainer: L.Trainer, module: DrafterModule, datamodule: TextModule, to: Path) -> float:
    """A drafter that counts its text does so once, and is validated as others are. Seconds."""
    datamodule.trainer = trainer
    datamodule.setup("fit")
    started = time.perf_counter()
    module.drafter.count(datamodule.texts())
    seconds = time.perf_counter() - started
    trainer.validate(module, datamodule, verbose=False)
    for name in (LAST, BEST):
        trainer.save_checkpoint(to / f"{name}.ckpt", weights_only=True)
    return seconds


def _conclude(
    config: DictConfig, folder: Path, module: DrafterModule, score: float, seconds: float
) -> None:
    """manifest.json, and what to do next."""
    name, _ = module.monitor
    trained = sum(p.numel() for p in module.drafter.parameters() if p.requires_grad)
    manifest = {
        name: score,
        "parameters": trained,
        "training_seconds": seconds,  # of all its runs, validation included
        "target": None if module.target is None else module.target.spec.name,
        "config": plain(config),
        **provenance(module.device),
    }
    write_json(folder / "manifest.json", manifest)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{trained:,} parameters trained; best {name} {score:.3f}; run folder {folder}")
    if module.target is None:
        kind = "llama" if module.drafter.encoder_decoder is None else "seq2seq"
        console.print(f"use it: python train.py target={kind} target.path={folder / 'model'}")
    else:
        console.print(f"evaluate it: python evaluate.py run={folder}")


def _check_resume(config: DictConfig, folder: Path, last: Path) -> None:
    if config.resume and not last.exists():
        raise UserError(
            f"resume=true was given, but there is no {last}: "
            "give name=... of an interrupted run, or leave out resume"
        )
    if not config.resume and last.exists():
        raise UserError(
            f"{folder} holds a trained run already: resume=true takes it up again, "
            "name=... starts another beside it"
        )


def _checkpoint(module: DrafterModule, folder: Path) -> ModelCheckpoint:
    monitor, mode = module.monitor
    return ModelCheckpoint(
        dirpath=folder / CHECKPOINTS,
        filename=BEST,
        monitor=monitor,
        mode=mode,
        save_last=True,
        save_on_train_epoch_end=False,  # behind the validation, which it judges by
        enable_version_counter=False,
    )


def _callbacks(
    config: DictConfig, datamodule: TextModule, module: DrafterModule
) -> list[L.Callback]:
    callbacks: list[L.Callback] = [
        LastValidation(),
        LearningRateMonitor("step"),
        RichProgressBar(theme=RichProgressBarTheme(metrics_format=".3f"), leave=True),
    ]
    if module.target is not None and config.probe_prompts > 0:
        callbacks.append(Probe(datamodule, config.probe_prompts))
    return callbacks


def _loggers(config: DictConfig, folder: Path) -> list[Logger]:
    """metrics.csv always; what the user chose beside it."""
    metrics = folder / METRICS
    if metrics.exists():  # Lightning would start the file again
        number = len(list(folder.glob("metrics.*.csv"))) + 1
        metrics.rename(folder / f"metrics.{number}.csv")
    loggers: list[Logger] = [CSVLogger(folder, name="", version="")]
    if config.logger is not None:
        loggers.append(build(config.logger, save_dir=str(folder), name=config.name))
    return loggers


def _save_language_model(
    module: DrafterModule, best: str, folder: Path, tokenizer: Tokenizer
) -> None:
    """A drafter that is a language model can be a target: write it as one."""
    state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)
    model: Any = module.drafter.model
    extra = [folder / "tokenizer.model"]
    ends = () if tokenizer.eos is None else (tokenizer.eos,)
    save_language_model(model, folder / "model", tokenizer.bos, ends, extra)
