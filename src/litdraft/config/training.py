"""From a composed config to the parts and options of a training run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from omegaconf import DictConfig

from litdraft.config.build import (
    drafter_of,
    plain,
    sampling_of,
    target_opener,
    teacher_of,
    tokenizer_of,
)
from litdraft.config.data import loader_of, source_of
from litdraft.config.groups import build, maker
from litdraft.protocols import Drafter, Target
from litdraft.targets.devices import named_dtype
from litdraft.training.options import OpenTarget, TrainingOptions, TrainingParts

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger


def training_options(config: DictConfig) -> TrainingOptions:
    return TrainingOptions(
        k=config.k,
        seed=config.seed,
        devices=config.devices,
        accelerator=config.trainer.accelerator,
        sampling=sampling_of(config),
        resume=config.resume,
        save_minutes=config.save_minutes,
        probe_prompts=config.probe_prompts,
        loader=loader_of(config),
        config=plain(config),
    )


def training_parts(
    config: DictConfig, load_start: Callable[[Drafter], None] | None = None
) -> TrainingParts:
    """`load_start` fills the drafter with the weights of the run that start= names."""
    open_target = target_opener(config, named_dtype(config.dtype))
    return TrainingParts(
        open_target=open_target,
        build_drafter=partial(drafter_of, config),
        open_tokenizer=partial(tokenizer_of, config),
        build_source=partial(source_of, config),
        open_writer=_writer_opener(config, open_target),
        teacher=teacher_of(config),
        teacher_path=config.teacher.get("path"),
        objective=build(config.objective),
        optimizer=maker(config.optimizer),
        schedule=maker(config.schedule),
        build_trainer=maker(config.trainer),
        build_loggers=partial(_loggers, config),
        load_start=load_start,
    )


def _writer_opener(config: DictConfig, open_target: OpenTarget | None) -> OpenTarget | None:
    """On a CPU text is written as it is when evaluated, natively and in the fastest type; elsewhere
    the target that teaches writes as well, so that it is in memory once."""
    if open_target is None:
        return None

    def open_on(device: torch.device) -> Target:
        fast = target_opener(config, None, fused=True) if device.type == "cpu" else open_target
        assert fast is not None
        return fast(device)

    return open_on


def _loggers(config: DictConfig, folder: Path) -> list[Logger]:
    """What the user chose beside metrics.csv."""
    if config.logger is None:
        return []
    return [build(config.logger, save_dir=str(folder), name=config.name)]
