"""evaluate.py run=...: target, drafter and data as the run had them; the command line wins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from litdraft.errors import UserError

GROUPS = ("target", "drafter", "data")
KEYS = ("k", "seed", "temperature", "top_k", "top_p")


def with_run_choices(arguments: Sequence[str]) -> list[str]:
    """The command line, the run's own choices of groups put before it."""
    run = _value(arguments, "run")
    if run is None:
        return list(arguments)
    chosen = _choices(run)
    mine = [f"{group}={chosen[group]}" for group in GROUPS if _value(arguments, group) is None]
    return [*mine, *arguments]


def restored(config: DictConfig, arguments: Sequence[str]) -> DictConfig:
    """A config composed from `with_run_choices`, filled with the run's own values."""
    if config.run is None:
        return config
    saved: Any = OmegaConf.load(Path(config.run) / ".hydra" / "config.yaml")
    chosen = _choices(config.run)
    OmegaConf.set_struct(config, False)
    for key in (*GROUPS, *KEYS):
        if _value(arguments, key) in (None, chosen.get(key)):
            config[key] = saved[key]
    if _value(arguments, "drafter") in (None, chosen["drafter"]) and saved.drafter is not None:
        OmegaConf.resolve(saved.drafter)  # another k must not change what was trained
        config.drafter = saved.drafter
    _keep_splits(config, saved, chosen["data"], arguments)
    for override in OverridesParser.create().parse_overrides(list(arguments)):
        if override.key_or_group not in (*GROUPS, "decoding"):
            OmegaConf.update(config, override.key_or_group, override.value())
    return config


def _keep_splits(config: DictConfig, saved: Any, source: str, arguments: Sequence[str]) -> None:
    """What a run held out stays held out, whatever seed it is evaluated with."""
    if config.data is None or _value(arguments, "data") not in (None, source):
        return
    for part in ("data", *(f"data.parts.{name}" for name in config.data.get("parts", {}))):
        if "held_out_rows" not in (OmegaConf.select(config, part) or {}):
            continue
        OmegaConf.update(
            config, f"{part}.split_seed", OmegaConf.select(saved, f"{part}.split_seed")
        )
        for key in ("split_seed", "held_out_rows"):
            if _value(arguments, f"{part}.{key}") is not None:
                raise UserError(
                    f"{part}.{key} was given with run={config.run}, but another one would test on "
                    "what the run was trained on: leave it out"
                )


def evaluation_config(arguments: Sequence[str]) -> DictConfig:
    """What `python evaluate.py ARGUMENTS` would run; Hydra must be initialized."""
    from hydra import compose

    return restored(compose("evaluate", with_run_choices(arguments)), arguments)


def _choices(run: str) -> dict[str, str]:
    """What the run chose in each group; UserError if there is no such run."""
    path = Path(run) / ".hydra" / "hydra.yaml"
    if not path.exists():
        known = sorted(str(p.parent) for p in Path("outputs").glob("*/.hydra"))
        there = f"there is {', '.join(known[:5])}" if known else "train one with train.py"
        raise UserError(f"run={run} is no folder of a training run: {there}")
    choices = OmegaConf.load(path).hydra.runtime.choices
    return {group: str(choices.get(group) or "null") for group in GROUPS}


def _value(arguments: Sequence[str], key: str) -> str | None:
    """The last value given to a key."""
    found = [a.split("=", 1)[1] for a in arguments if a.startswith(f"{key}=")]
    return found[-1].strip("'\"") if found else None
