"""evaluate run=...: target, drafter and data as the run had them; the command line wins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from litdraft.config.overrides import parsed
from litdraft.errors import UserError
from litdraft.runs.saved import saved_choices, saved_config
from litdraft.runs.status import RESTORED_GROUPS, RESTORED_KEYS


def with_run_choices(words: Sequence[str]) -> list[str]:
    """The command line, the run's own choices of groups put before it."""
    run = _value(words, "run")
    if run is None:
        return list(words)
    chosen = saved_choices(Path(run), f"run={run}")
    missing = [group for group in RESTORED_GROUPS if _value(words, group) is None]
    return [*(f"{group}={chosen[group]}" for group in missing), *words]


def restored(config: DictConfig, words: Sequence[str]) -> DictConfig:
    """A config composed from `with_run_choices`, filled with the run's own values."""
    if config.run is None:
        return config
    run, given = Path(config.run), f"run={config.run}"
    saved = saved_config(run, given, _user_folders())
    chosen = saved_choices(run, given)
    OmegaConf.set_struct(config, False)
    for key in (*RESTORED_GROUPS, *RESTORED_KEYS):
        if _value(words, key) in (None, chosen.get(key)):
            config[key] = saved[key]
    if _value(words, "drafter") in (None, chosen["drafter"]) and saved.drafter is not None:
        OmegaConf.resolve(saved.drafter)  # another k must not change what was trained
        config.drafter = saved.drafter
    _keep_splits(config, saved, chosen["data"], words)
    for override in parsed(words):
        if override.key_or_group not in (*RESTORED_GROUPS, "decoding") and not (
            override.is_delete() or override.is_sweep_override()
        ):
            OmegaConf.update(config, override.key_or_group, override.value())
    return config


def _user_folders() -> list[Path]:
    """The user's own configuration folders of this command line."""
    if not HydraConfig.initialized():
        return []
    sources = HydraConfig.get().runtime.config_sources
    return [Path(source.path) for source in sources if source.provider == "command-line"]


def _keep_splits(config: DictConfig, saved: Any, source: str, words: Sequence[str]) -> None:
    """What a run held out stays held out, whatever seed it is evaluated with."""
    if config.data is None or _value(words, "data") not in (None, source):
        return
    for part in ("data", *(f"data.parts.{name}" for name in config.data.get("parts", {}))):
        if "held_out_rows" not in (OmegaConf.select(config, part) or {}):
            continue
        OmegaConf.update(
            config, f"{part}.split_seed", OmegaConf.select(saved, f"{part}.split_seed")
        )
        for key in ("split_seed", "held_out_rows"):
            if _value(words, f"{part}.{key}") is not None:
                raise UserError(
                    f"{part}.{key} was given with run={config.run}, but another one would test on "
                    "what the run was trained on: leave it out"
                )


def evaluation_config(words: Sequence[str]) -> DictConfig:
    """The config of `litdraft evaluate WORDS`; Hydra must be initialized."""
    from hydra import compose

    return restored(compose("evaluate", with_run_choices(words)), words)


def _value(words: Sequence[str], key: str) -> str | None:
    """The last value given to a key."""
    values = [word.split("=", 1)[1] for word in words if word.startswith(f"{key}=")]
    return values[-1].strip("'\"") if values else None
