"""A training run, opened from Python: prepared for fast decoding."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch
from omegaconf import DictConfig

from litdraft.config.build import drafter_of, target_opener, tokenizer_of
from litdraft.config.resolvers import register
from litdraft.errors import UserError
from litdraft.protocols import Drafter, Target, TargetSpec
from litdraft.runs.checkpoints import load_weights
from litdraft.runs.saved import saved_config
from litdraft.targets.devices import named_dtype, own_device
from litdraft.tokenizers.base import Tokenizer


class Opened(NamedTuple):
    """A run's own objects; the drafter is trained, bound, frozen and prepared for decoding."""

    target: Target
    drafter: Drafter
    tokenizer: Tokenizer
    config: DictConfig


def open_run(
    run: str | Path,
    *,
    dtype: str = "auto",
    native: bool = True,
    device: str | torch.device | None = None,
) -> Opened:
    """What a run folder's config names, with trained weights.

    dtype: of target and drafter; auto is the checkpoint's own, if that is fast here. native: decode
    on a CPU by native operations, if they can be built. device: None chooses it. UserError if the
    folder is no run, or one without a target.
    """
    register()
    config = saved_config(Path(run), str(run))
    open_target = target_opener(config, named_dtype(dtype), fused=native)
    if open_target is None:
        raise UserError(f"{run} trained a language model without a target: open its model/ instead")
    target = open_target(own_device() if device is None else torch.device(device))
    tokenizer = tokenizer_of(config, target, Path(run))
    drafter = trained_drafter(Path(run), target.spec, tokenizer)
    return Opened(target, prepared(drafter, target), tokenizer, config)


def trained_drafter(run: Path, spec: TargetSpec, tokenizer: Tokenizer) -> Drafter:
    """The drafter of a run with its weights, not bound yet; UserError if the run has none."""
    register()
    drafter = drafter_of(saved_config(run, str(run)), spec, tokenizer)
    load_weights(drafter, run)
    return drafter


def prepared(drafter: Drafter, target: Target) -> Drafter:
    """The drafter on its target's device, bound, frozen and as fast as its target."""
    ready(drafter, target).prepare_for_decoding(target.dtype, native=target.packed is not None)
    return drafter


def ready(drafter: Drafter, target: Target) -> Drafter:
    """The drafter on its target's device, bound and frozen."""
    drafter.to(target.device).eval().requires_grad_(False).bind(target)
    return drafter
