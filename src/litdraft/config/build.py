"""From a composed config to the objects it names."""

from __future__ import annotations

import functools
import inspect
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from hydra.utils import get_class, get_object
from omegaconf import DictConfig, OmegaConf

from litdraft.config.data import source_of, texts_of
from litdraft.config.groups import build, group_without
from litdraft.errors import UserError
from litdraft.io import replacing
from litdraft.protocols import Drafter, Target, TargetSpec, Tokenized, Trainable
from litdraft.sampling import Sampling
from litdraft.teachers.base import Teacher
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import check_tokenizer, open_tokenizer
from litdraft.tokenizers.sentencepiece import train_sentencepiece
from litdraft.training.options import OpenTarget


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as plain data, interpolations kept: assets are elsewhere on another machine."""
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def sampling_of(config: DictConfig) -> Sampling:
    return Sampling(config.temperature, config.top_k, config.top_p)


def other_sampling(sampling: Sampling) -> Sampling:
    """What a report shows beside the sampling asked for: greedy, or temperature 1."""
    return replace(sampling, temperature=1.0 if sampling.greedy else 0.0)


def target_opener(
    config: DictConfig, dtype: torch.dtype | None, fused: bool = False
) -> OpenTarget | None:
    """Opens the target once per device, `fused` for decoding only; None for target=null."""
    if config.target is None:
        return None
    node = group_without(config, "target", ("tokenizer",))

    @functools.cache
    def open_on(device: torch.device) -> Target:
        target: Target = build(node, dtype=dtype, device=device, fused=fused)
        return target

    return open_on


def teacher_of(config: DictConfig) -> Teacher:
    teacher: Teacher = build(group_without(config, "teacher", ("path",)))
    return teacher


def tokenizer_of(config: DictConfig, target: Target | None, folder: Path) -> Tokenizer:
    """The target's tokenizer; without a target that of the run to start from, or one trained on the
    text, kept in the run folder."""
    if target is not None:
        tokenizer = open_tokenizer(config.target.tokenizer)
        check_tokenizer(tokenizer, target.spec.vocabulary)
        return tokenizer
    if config.tokenizer_pieces is None:
        raise UserError("target=null needs tokenizer_pieces=N: how many pieces to train")
    path = folder / "tokenizer.model"
    if path.exists():
        return open_tokenizer(path)
    if config.get("start") is not None:
        theirs = Path(config.start) / path.name
        if not theirs.is_file():
            raise UserError(
                f"start={config.start} holds no {path.name}, whose ids its weights know: give a "
                "run that was trained with target=null"
            )
        with replacing(path) as temporary:
            shutil.copyfile(theirs, temporary)
        return open_tokenizer(path)
    return train_sentencepiece(texts_of(source_of(config)), config.tokenizer_pieces, path)


def drafter_of(config: DictConfig, spec: TargetSpec | None, tokenizer: Tokenizer) -> Drafter:
    """The drafter a config names, untrained. UserError if it needs a target and has none."""
    if config.drafter is None:
        raise UserError("drafter=null was given: choose one, for instance drafter=lstm")
    node = group_without(config, "drafter", ())
    if spec is None and not _needs_no_target(get_object(node._target_)):
        raise UserError(
            f"{node._target_} drafts for a target, but target=null was given: choose one, or train "
            "a language model with drafter=transformer"
        )
    drafter: Drafter = build(node, spec=spec)
    if isinstance(drafter, Tokenized):
        drafter.set_tokenizer(tokenizer)
    return drafter


def _needs_no_target(family: Callable[..., Any]) -> bool:
    return inspect.signature(family).parameters["spec"].default is None


def is_trained(config: DictConfig) -> bool:
    """Whether the drafter of a config has anything to train: otherwise a sweep only evaluates."""
    if config.drafter is None:
        return True  # which training refuses, in a sentence
    return issubclass(get_class(config.drafter._target_), Trainable)
