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

from litdraft.errors import UserError


def check_overrides(conf: Path, root: str, arguments: Sequence[str]) -> None:
    """UserError if an override names no key, no group, or no choice of a group."""
    overrides = [argument for argument in arguments if "=" in argument and argument[0] != "-"]
    try:
        parsed = OverridesParser.create().parse_overrides(overrides)
    except HydraException as error:
        raise UserError(f"the command line cannot be read: {str(error).splitlines()[0]}") from None
    groups = {folder.name: choices(folder) for folder in conf.iterdir() if folder.is_dir()}
    chosen = [o for o in parsed if o.key_or_group in groups]
    for override in chosen:
        _check_choice(override, groups[override.key_or_group])
    known = _composed(conf, root, [o.input_line or "" for o in chosen if not o.is_sweep_override()])
    keys = set(flattened(known)) | set(groups)
    for override in parsed:
        key = override.key_or_group
        if override.is_add() or override.is_delete() or key.startswith("hydra.") or key in keys:
            continue
        if not _free(known, key):
            raise UserError(f"there is no key {key}{nearest(key, keys)}")


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


def _check_choice(override: Override, known: list[str]) -> None:
    value = override.value()
    names = getattr(value, "list", [value])
    for name in names:
        if isinstance(name, str) and name not in known:
            group = override.key_or_group
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}"
            raise UserError(f"there is no {group}={name}: {hint}")


def _composed(conf: Path, root: str, overrides: list[str]) -> DictConfig:
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf), version_base="1.3"):
        return compose(root, overrides)


def _free(config: DictConfig, key: str) -> bool:
    """Whether a key stands below a dictionary whose keys are the user's own."""
    parent = key.rsplit(".", 1)[0]
    node = OmegaConf.select(config, parent, throw_on_missing=False) if "." in key else None
    return isinstance(node, dict) or parent == "evaluation"
