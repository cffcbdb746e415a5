"""Checks of a composed config, before anything heavy is imported."""

from __future__ import annotations

from omegaconf import DictConfig

from litdraft.config.overrides import unknown_choice
from litdraft.config.schema import STUDIES
from litdraft.errors import UserError
from litdraft.limits import FLOATS, LONGEST_DRAFT, check_sampling

LEAST = {
    "k": 1, "devices": 1, "prompts": 1, "max_new_tokens": 1, "batch": 1, "repeats": 1, "seed": 0,
}  # fmt: skip


def checked(config: DictConfig) -> DictConfig:
    """The config; UserError for a value that cannot be meant."""
    if config.k != "auto" and not isinstance(config.k, int):
        raise UserError(f"k={config.k} was given: choose a whole number of draft tokens, or auto")
    for key, least in LEAST.items():
        if key in config and config[key] != "auto" and config[key] < least:
            raise UserError(f"{key}={config[key]} was given, but {key} must be at least {least}")
    if config.dtype not in ("auto", *FLOATS):
        raise UserError(f"dtype={config.dtype} was given: choose one of auto, {', '.join(FLOATS)}")
    check_sampling(config.temperature, config.top_k, config.top_p)
    if "max_new_tokens" in config:
        _check_evaluation(config)
    return config


def _check_evaluation(config: DictConfig) -> None:
    longest = LONGEST_DRAFT if config.k == "auto" else config.k
    if config.prompt is None and config.max_new_tokens < longest + 2:
        raise UserError(
            f"max_new_tokens={config.max_new_tokens} was given with k={config.k}: no whole round "
            f"fits, give at least {longest + 2}"
        )
    if config.study is not None and config.study not in STUDIES:
        raise unknown_choice("study", config.study, STUDIES)
    if str(config.compile).lower() not in ("auto", "true", "false"):
        raise UserError(f"compile={config.compile} was given: choose auto, true or false")


def is_evaluated(config: DictConfig, sweeping: bool) -> bool:
    """Whether an evaluation follows a training: as evaluate= says, or in sweeps only."""
    if config.evaluate is not None:
        return bool(config.evaluate)
    return sweeping and config.target is not None
