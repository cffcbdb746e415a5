"""One training job: from its parts and options to a run folder."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import LearningRateMonitor, ModelCheckpoint, Timer
from lightning.pytorch.loggers import CSVLogger, Logger
from rich.console import Console

from litdraft.checkpoints.load import save_language_model
from litdraft.data.rows import preview
from litdraft.errors import UserError
from litdraft.io import write_json
from litdraft.protocols import Counted, Target, counts, layout_of
from litdraft.reports.provenance import provenance
from litdraft.runs.lock import claimed
from litdraft.runs.status import BEST, CHECKPOINTS, LAST, MANIFEST
from litdraft.targets.devices import own_device
from litdraft.tokenizers.base import Tokenizer
from litdraft.training.callbacks import Interrupted, LastValidation, Probe, inside_epochs
from litdraft.training.datamodule import TextModule
from litdraft.training.module import DrafterModule
from litdraft.training.options import TrainingOptions, TrainingParts
from litdraft.training.progress import EpochLines, start_up_summary

METRICS = "metrics.csv"


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave. `score` is the best value of what is monitored: the mean acceptance
    length that replay predicts or, without a target, the validation loss (in nats per token);
    NaN after a preview. `drafter` holds the weights of the last step."""

    folder: Path
    score: float
    module: DrafterModule


def train(parts: TrainingParts, options: TrainingOptions, folder: Path) -> TrainingResult:
    """Train in `folder`. UserError before any work if the input cannot be right."""
    with claimed(folder):
        return _train(parts, options, folder)


def _train(parts: TrainingParts, options: TrainingOptions, folder: Path) -> TrainingResult:
    last = folder / CHECKPOINTS / f"{LAST}.ckpt"
    _check_resume(options, folder, last)
    L.seed_everything(options.seed, workers=True, verbose=False)
    device = own_device(options.accelerator)
    target = parts.open_target(device) if parts.open_target else None
    if target is not None and not target.packs and options.loader.pack:
        raise UserError(f"{target.spec.name} cannot read packed rows: give data.pack=false")
    tokenizer = parts.open_tokenizer(target, folder)
    module = _module(parts, options, tokenizer, device)
    datamodule = _datamodule(parts, options, tokenizer, module)
    if options.loader.preview:
        rows = datamodule.source.training(datamodule.materials())
        preview.show(rows, options.loader.preview, tokenizer, Console(highlight=False))
        return TrainingResult(folder, float("nan"), module)
    checkpoint, timer = _checkpoint(module, folder), Timer()
    trainer = parts.build_trainer(
        default_root_dir=str(folder),
        devices=options.devices,
        accelerator=options.accelerator,
        logger=_loggers(parts, folder),
        enable_progress_bar=False,  # `EpochLines` is it
        callbacks=[
            checkpoint,
            inside_epochs(folder / CHECKPOINTS, LAST, options.save_minutes),
            timer,
            *_callbacks(options, datamodule, module, target),
            Interrupted(),
        ],
    )
    seconds = _fit(trainer, module, datamodule, timer, last if options.resume else None, folder)
    if module.target is None and trainer.is_global_zero:
        _save_language_model(module, checkpoint.best_model_path, folder, tokenizer)
    best = checkpoint.best_model_score
    if counts(module.drafter):
        best = trainer.callback_metrics[module.monitor[0]]
    score = float("nan") if best is None else float(best)
    if trainer.is_global_zero:
        _conclude(options, folder, module, score, seconds)
    return TrainingResult(folder, score, module)


def _module(
    parts: TrainingParts, options: TrainingOptions, tokenizer: Tokenizer, device: torch.device
) -> DrafterModule:
    """The drafter beside its target. UserError, before the target writes its text, if they or the
    options do not go together."""
    module = DrafterModule(
        lambda spec: parts.build_drafter(spec, tokenizer),
        parts.open_target,
        parts.objective,
        parts.optimizer,
        parts.schedule,
        k=options.k,
        sampling=options.sampling,
        config=options.config,
        teacher=parts.teacher,
    )
    module.to(device)
    module.configure_model()
    drafter = module.drafter
    if layout_of(drafter) is not None and options.loader.pack:
        raise UserError(f"drafter={drafter.name} reads a source: give data.pack=false")
    if counts(drafter) and (options.devices > 1 or parts.load_start is not None):
        raise UserError(
            f"drafter={drafter.name} counts its text in one process and from nothing: "
            "leave out devices and start"
        )
    if parts.load_start is not None:
        parts.load_start(drafter)
        module.begun = True
    return module


def _datamodule(
    parts: TrainingParts, options: TrainingOptions, tokenizer: Tokenizer, module: DrafterModule
) -> TextModule:
    return TextModule(
        parts.build_source(),
        tokenizer,
        parts.open_target,
        loader=options.loader,
        open_writer=parts.open_writer,
        teacher=parts.teacher,
        taps=module.drafter.needs.taps,
        teacher_path=parts.teacher_path,
        k=options.k,
        sampling=options.sampling,
        seed=options.seed,
        encoder_decoder=layout_of(module.drafter),
    )


def _fit(
    trainer: L.Trainer,
    module: DrafterModule,
    datamodule: TextModule,
    timer: Timer,
    resume: Path | None,
    folder: Path,
) -> float:
    """Train, or count a drafter that learns by counting; seconds."""
    drafter = module.drafter
    if not isinstance(drafter, Counted) or not drafter.counts:
        trainer.fit(module, datamodule, ckpt_path=resume, weights_only=True)
        return timer.time_elapsed("train")
    datamodule.trainer = trainer
    datamodule.setup("fit")
    started = time.perf_counter()
    drafter.count(datamodule.texts())
    seconds = time.perf_counter() - started
    trainer.validate(module, datamodule, verbose=False)
    for name in (LAST, BEST):
        trainer.save_checkpoint(folder / CHECKPOINTS / f"{name}.ckpt", weights_only=True)
    return seconds


def _conclude(
    options: TrainingOptions, folder: Path, module: DrafterModule, score: float, seconds: float
) -> None:
    """manifest.json, and what to do next."""
    name, _ = module.monitor
    trained = sum(p.numel() for p in module.drafter.parameters() if p.requires_grad)
    manifest = {
        name: score,
        "parameters": trained,
        "training_seconds": seconds,  # of all its runs, validation included
        "target": None if module.target is None else module.target.spec.name,
        "config": dict(options.config),
        **provenance(module.device),
    }
    write_json(folder / MANIFEST, manifest)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{trained:,} parameters trained; best {name} {score:.3f}; run folder {folder}")
    if module.target is None:
        kind = "llama" if layout_of(module.drafter) is None else "seq2seq"
        console.print(f"use it: litdraft train target={kind} target.path={folder / 'model'}")
    else:
        console.print(f"evaluate it: litdraft evaluate run={folder}")


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


def _callbacks(
    options: TrainingOptions,
    datamodule: TextModule,
    module: DrafterModule,
    target: Target | None,
) -> list[L.Callback]:
    callbacks: list[L.Callback] = [LastValidation(), LearningRateMonitor("step")]
    if module.target is not None and options.probe_prompts > 0:
        callbacks.append(Probe(datamodule, options.probe_prompts))
    console = Console(highlight=False, soft_wrap=True)
    start_up_summary(console, module, options)
    return [*callbacks, EpochLines(console)]


def _loggers(parts: TrainingParts, folder: Path) -> list[Logger]:
    """metrics.csv always; what the user chose beside it."""
    metrics = folder / METRICS
    if metrics.exists():  # Lightning would start the file again
        number = len(list(folder.glob("metrics.*.csv"))) + 1
        metrics.rename(folder / f"metrics.{number}.csv")
    return [CSVLogger(folder, name="", version=""), *parts.build_loggers(folder)]


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
