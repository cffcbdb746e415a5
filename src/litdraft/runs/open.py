"""What a training run left, opened again and ready to decode."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeVar

from omegaconf import DictConfig

from litdraft.config.build import drafter_of, target_opener, tokenizer_of
from litdraft.config.resolvers import register
from litdraft.errors import UserError
from litdraft.protocols import Drafter, Target, TargetSpec
from litdraft.runs.checkpoints import load_weights
from litdraft.runs.same import run_config
from litdraft.targets.devices import own_device
from litdraft.tokenizers.base import Tokenizer

D = TypeVar("D", bound=Drafter)


class Opened(NamedTuple):
    """A run's own objects; the drafter is trained, bound and frozen, both decode fast."""

    target: Target
    drafter: Drafter
    tokenizer: Tokenizer
    config: DictConfig


def open_run(run: str | Path) -> Opened:
    """What a run folder's config names, weights loaded, in the type that decodes fastest."""
    register()
    config = run_config(Path(run), str(run))
    opener = target_opener(config, None, fused=True)
    if opener is None:
        raise UserError(f"{run} trained a language model without a target: open its model/ instead")
    target = opener(own_device())
    tokenizer = tokenizer_of(config, target, Path(run))
    drafter = trained_drafter(Path(run), target.spec, tokenizer)
    return Opened(target, prepared(drafter, target), tokenizer, config)


def trained_drafter(run: Path, spec: TargetSpec, tokenizer: Tokenizer) -> Drafter:
    """The drafter of a run with its weights, not bound yet; UserError if the run has none."""
    register()
    drafter = drafter_of(run_config(run, str(run)), spec, tokenizer)
    load_weights(drafter, run)
    return drafter


def ready(drafter: D, target: Target) -> D:
    """Beside its target, frozen."""
    drafter.to(target.device).eval().requires_grad_(False).bind(target)
    return drafter


def prepared(drafter: D, target: Target) -> D:
    """Beside its target, frozen, and fast."""
    ready(drafter, target).prepare_for_decoding(target.dtype, native=target.packed is not None)
    return drafter
