"""From a composed config to the parts and options of an evaluation."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch
from omegaconf import DictConfig
from torch import nn

from litdraft.config.build import drafter_of, sampling_of, target_opener, tokenizer_of
from litdraft.config.data import loader_of, source_of
from litdraft.config.groups import build
from litdraft.errors import UserError
from litdraft.evaluation import run
from litdraft.evaluation.modes import LossyMode
from litdraft.evaluation.options import EvaluationOptions, EvaluationParts
from litdraft.evaluation.run_lossy import evaluate_lossy
from litdraft.evaluation.run_stream import stream
from litdraft.io import read_json
from litdraft.protocols import Drafter, Target, TargetSpec, counts
from litdraft.runs.checkpoints import load_weights
from litdraft.runs.status import MANIFEST
from litdraft.targets.devices import named_dtype
from litdraft.tokenizers.base import Tokenizer


def evaluate(config: DictConfig, folder: Path) -> float:
    """Evaluate as a config says; the speedup."""
    parts, options = evaluation_parts(config), evaluation_options(config)
    if config.prompt is not None:
        return stream(parts, options, config.prompt)
    if isinstance(parts.mode, LossyMode):
        return evaluate_lossy(parts, options, folder).best_speedup
    return run.evaluate(parts, options, folder).speedup.value


def evaluation_options(config: DictConfig) -> EvaluationOptions:
    compiled = {"auto": None, "true": True, "false": False}
    return EvaluationOptions(
        k=None if config.k == "auto" else config.k,
        sampling=sampling_of(config),
        prompts=config.prompts,
        max_new_tokens=config.max_new_tokens,
        batch=config.batch,
        repeats=config.repeats,
        seed=config.seed,
        dtype=named_dtype(config.dtype),
        native=config.fused,
        compile=compiled[str(config.compile).lower()],
        devices=config.devices,
    )


def evaluation_parts(config: DictConfig) -> EvaluationParts:
    """UserError for a config without a target."""
    if config.target is None:
        raise UserError("target=null was given: an evaluation needs a target")
    return EvaluationParts(
        open_target=partial(open_target, config),
        open_tokenizer=partial(open_tokenizer, config),
        build_drafter=partial(_build_drafter, config),
        build_untrained=partial(_build_untrained, config),
        open_source=partial(source_of, config),
        mode=build(config.decoding),
        cache=Path(loader_of(config).cache),
        training_seconds=_training_seconds(config),
    )


def open_target(
    config: DictConfig, dtype: torch.dtype | None, device: torch.device, native: bool
) -> Target:
    opener = target_opener(config, dtype, fused=native)
    assert opener is not None
    return opener(device)


def open_tokenizer(config: DictConfig, target: Target) -> Tokenizer:
    return tokenizer_of(config, target, Path())


def _build_drafter(config: DictConfig, spec: TargetSpec, tokenizer: Tokenizer) -> Drafter:
    """With the run's weights, or those of drafter.path. UserError if it is untrained."""
    drafter = drafter_of(config, spec, tokenizer)
    if config.run is not None:
        load_weights(drafter, Path(config.run))
    elif _learns(drafter) and not _has_path(config):
        raise UserError(
            f"{type(drafter).__name__} is untrained: train it with litdraft train drafter=... "
            "and evaluate it with run=outputs/..., or choose drafter=lookup"
        )
    return drafter


def _build_untrained(config: DictConfig, spec: TargetSpec, tokenizer: Tokenizer) -> Drafter | None:
    """None if there is nothing to train."""
    drafter = drafter_of(config, spec, tokenizer)
    if not _learns(drafter):
        return None
    if _has_path(config):  # the weights of a checkpoint are trained ones
        _reset(drafter)
    return drafter


def _has_path(config: DictConfig) -> bool:
    return config.drafter.get("path") is not None


def _learns(drafter: Drafter) -> bool:
    return counts(drafter) or any(True for _ in drafter.parameters())


def _reset(module: nn.Module) -> None:
    """To initial weights: of a module that can reset itself, otherwise of its children."""
    if (reset := getattr(module, "reset_parameters", None)) is not None:
        reset()
        return
    for child in module.children():
        _reset(child)


def _training_seconds(config: DictConfig) -> float | None:
    """As the run's manifest has them."""
    if config.run is None or not (path := Path(config.run) / MANIFEST).exists():
        return None
    seconds: float | None = read_json(path).get("training_seconds")
    return seconds
