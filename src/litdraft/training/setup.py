"""What a training needs before it begins: opened, and checked to go together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from litdraft.errors import UserError
from litdraft.protocols import Target, counts, layout_of
from litdraft.targets.devices import own_device
from litdraft.tokenizers.base import Tokenizer
from litdraft.training.datamodule import TextModule
from litdraft.training.module import DrafterModule
from litdraft.training.options import TrainingOptions, TrainingParts


@dataclass(frozen=True)
class Setup:
    """The drafter beside its target, and the text."""

    module: DrafterModule
    datamodule: TextModule
    tokenizer: Tokenizer


def set_up(parts: TrainingParts, options: TrainingOptions, folder: Path) -> Setup:
    """Open target, tokenizer and drafter. UserError, before the target writes its text, if they
    or the options do not go together."""
    device = own_device(options.accelerator)
    target = parts.open_target(device) if parts.open_target else None
    if target is not None:
        _check_packing(target, options)
    tokenizer = parts.open_tokenizer(target, folder)
    module = _module(parts, options, tokenizer, device)
    _check_drafter(module, parts, options)
    if parts.load_start is not None:
        parts.load_start(module.drafter)
        module.starts_trained = True
    return Setup(module, _datamodule(parts, options, tokenizer, module), tokenizer)


def _check_packing(target: Target, options: TrainingOptions) -> None:
    if options.loader.pack and not target.packs:
        raise UserError(f"{target.spec.name} cannot read packed rows: give data.pack=false")


def _check_drafter(module: DrafterModule, parts: TrainingParts, options: TrainingOptions) -> None:
    drafter = module.drafter
    if layout_of(drafter) is not None and options.loader.pack:
        raise UserError(f"drafter={drafter.name} reads a source: give data.pack=false")
    if counts(drafter) and (options.devices > 1 or parts.load_start is not None):
        raise UserError(
            f"drafter={drafter.name} counts its text in one process and from nothing: "
            "leave out devices and start"
        )


def _module(
    parts: TrainingParts, options: TrainingOptions, tokenizer: Tokenizer, device: torch.device
) -> DrafterModule:
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
