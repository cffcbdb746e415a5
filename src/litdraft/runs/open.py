"""What a training run left, opened again."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from omegaconf import DictConfig

from litdraft.config.build import drafter_of, target_opener, tokenizer_of
from litdraft.config.resolvers import register
from litdraft.errors import UserError
from litdraft.protocols import Drafter, Target
from litdraft.runs.checkpoints import load_weights
from litdraft.runs.same import run_config
from litdraft.targets.devices import named_dtype, own_device
from litdraft.tokenizers.base import Tokenizer


class Opened(NamedTuple):
    """A run's own objects; the drafter is trained, bound and frozen."""

    target: Target
    drafter: Drafter
    tokenizer: Tokenizer
    config: DictConfig


def open_run(run: str | Path) -> Opened:
    """For notebooks and scripts: what a run folder's configuration names, weights loaded."""
    register()
    config = run_config(Path(run), str(run))
    opener = target_opener(config, named_dtype(config.dtype))
    if opener is None:
        raise UserError(f"{run} trained a language model without a target: open its model/ instead")
    target = opener(own_device())
    tokenizer = tokenizer_of(config, target, Path(run))
    drafter = drafter_of(config, target.spec, tokenizer)
    load_weights(drafter, Path(run))
    return Opened(target, ready(drafter, target), tokenizer, config)


def ready(drafter: Drafter, target: Target) -> Drafter:
    """Beside its target, frozen."""
    drafter.to(target.device).eval().requires_grad_(False).bind(target)
    return drafter
