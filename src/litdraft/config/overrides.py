"""A look at the command line before Hydra takes it: a typo is answered with the nearest key."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from litdraft.config.plugins import check_plugin
from litdraft.errors import UserError


def check_overrides(conf: Path, root: str, arguments: Sequence[str]) -> None:
    """UserError if an override names no key, no group, or no choice of a group."""
    given = parsed(arguments)
    groups = {folder.name: choices(folder) for folder in conf.iterdir() if folder.is_dir()}
    for override in given:
        check_plugin(override)
        _check_choice(override, groups)
    known = composed(conf, root, [o.input_line or "" for o in given if _shapes(o, groups)])
    swept = _swept(known, {o.key_or_group for o in given})
    for override in swept:
        _check_choice(override, groups)
    keys = {key for key in flattened(known) if not key.startswith("hydra")} | set(groups)
    for override in (*given, *swept):
        key = override.key_or_group
        if override.is_add() or override.is_delete() or key.startswith("hydra") or key in keys:
            continue
        if not _free(known, key):
            raise UserError(f"there is no key {key}{nearest(key, keys)}")


def parsed(arguments: Sequence[str]) -> list[Override]:
    """The overrides among the arguments."""
    words = [word for word in arguments if ("=" in word or word[:1] == "~") and word[0] != "-"]
    try:
        return list(OverridesParser.create().parse_overrides(words))
    except HydraException as error:
        raise UserError(f"the command line cannot be read: {str(error).splitlines()[0]}") from None


def composed(conf: Path, root: str, overrides: Sequence[str]) -> DictConfig:
    """The config with Hydra's own part; UserError if it cannot be composed."""
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf), version_base="1.3"):
            return compose(root, list(overrides), return_hydra_config=True)
    except HydraException as error:
        causes = [str(cause).splitlines()[0] for cause in (error, error.__cause__) if cause]
        told = ": ".join(line.rstrip(".") for line in causes)
        raise UserError(f"the command line does not fit together: {told}") from None


def _shapes(override: Override, groups: dict[str, list[str]]) -> bool:
    """Whether an override decides which keys there are: a group's choice, or Hydra's own."""
    key = override.key_or_group
    return (key in groups or key.startswith("hydra")) and not override.is_sweep_override()


def _swept(config: DictConfig, given: set[str]) -> list[Override]:
    """What an experiment sweeps by itself, unless the command line says otherwise."""
    params = config.hydra.sweeper.get("params") or {}
    return parsed([f"{key}={value}" for key, value in params.items() if key not in given])


def choices(folder: Path) -> list[str]:
    return sorted(path.stem for path in folder.glob("*.yaml"))


def nearest(given: str, known: Sequence[str] | set[str]) -> str:
    """The end of the sentence: what was probably meant, or where to look."""
    close = difflib.get_close_matches(given, sorted(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else ": --help lists all of them"


def flattened(config: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a config, without resolving anything."""
    for key in config:
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from flattened(node, f"{prefix}{key}.")


def no_choice(group: str, given: str, known: Sequence[str]) -> UserError:
    """What to say of a choice that is none."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}"
    return UserError(f"there is no {group}={given}: {hint}")


def _check_choice(override: Override, groups: dict[str, list[str]]) -> None:
    group, value = override.key_or_group, override.value()
    known = groups.get(group)
    for name in getattr(value, "list", [value]):
        if known is not None and isinstance(name, str) and name not in known:
            raise no_choice(group, name, known)


def _free(config: DictConfig, key: str) -> bool:
    """Whether a key stands below a dictionary whose keys are the user's own."""
    parent = key.rsplit(".", 1)[0]
    node = OmegaConf.select(config, parent, throw_on_missing=False) if "." in key else None
    return isinstance(node, dict) or parent == "evaluation"
