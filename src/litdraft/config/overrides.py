"""A look at the command line: a typo is answered with the nearest key or choice."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig

from litdraft.config.plugins import check_plugin
from litdraft.errors import UserError

Groups = dict[str, list[str]]
EVALUATION = "evaluation."  # keys of evaluate, given to train


def parsed(words: Sequence[str]) -> list[Override]:
    """Overrides from words of the command line; UserError if one cannot be read."""
    try:
        return list(OverridesParser.create().parse_overrides(list(words)))
    except HydraException as error:
        raise UserError(f"the command line cannot be read: {str(error).splitlines()[0]}") from None


def groups_of(folders: Sequence[Path]) -> Groups:
    """Every group of the configuration folders, with its choices."""
    groups: dict[str, set[str]] = {}
    for folder in folders:
        for path in folder.glob("*/*.yaml"):
            groups.setdefault(path.parent.name, set()).add(path.stem)
    return {name: sorted(choices) for name, choices in sorted(groups.items())}


def spelled_for_hydra(words: Sequence[str], groups: Groups) -> list[str]:
    """GROUP=null empties a group, which Hydra spells ~GROUP; evaluation.KEY=VALUE adds a key to a
    dictionary that begins empty, which Hydra spells ++."""

    def spelled(word: str) -> str:
        key, _, value = word.partition("=")
        if value == "null" and key in groups:
            return f"~{key}"
        return f"++{word}" if key.startswith(EVALUATION) else word

    return [spelled(word) for word in words]


def check_choices(overrides: Sequence[Override], groups: Groups) -> None:
    """UserError if an override names a choice that its group does not have, or a plugin that is
    not installed."""
    for override in overrides:
        check_plugin(override)
        group, value = override.key_or_group, override.value()
        known = groups.get(group)
        for name in getattr(value, "list", [value]):
            if known is not None and isinstance(name, str) and name not in known:
                raise unknown_choice(group, name, known)


def shapes_config(override: Override, groups: Groups) -> bool:
    """Whether an override decides which keys there are: a group's choice, or a key of Hydra's."""
    key = override.key_or_group
    return (key in groups or key.startswith("hydra")) and not override.is_sweep_override()


def check_keys(
    config: DictConfig, overrides: Sequence[Override], groups: Groups, prefix: str = ""
) -> None:
    """UserError if an override names a key that `config`, made of the choices alone, lacks.

    `prefix` stands before the key on the command line.
    """
    keys = {key for key in flattened(config) if not key.startswith("hydra")} | set(groups)
    for override in overrides:
        key = override.key_or_group
        if override.is_add() or override.is_delete() or key.startswith("hydra") or key in keys:
            continue
        raise UserError(f"there is no key {prefix}{key}{_nearest(key, keys)}")


def flattened(config: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a config, without resolving anything."""
    for key in config:
        yield f"{prefix}{key}"
        node = config._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from flattened(node, f"{prefix}{key}.")


def unknown_choice(group: str, given: str, known: Sequence[str]) -> UserError:
    """What to answer to a choice that does not exist."""
    close = difflib.get_close_matches(given, known, n=1, cutoff=0.5)
    hint = f"did you mean {close[0]}?" if close else f"choose one of {', '.join(known)}"
    return UserError(f"there is no {group}={given}: {hint}")


def _nearest(given: str, known: set[str]) -> str:
    """The end of the sentence: what was probably meant, or where to look."""
    close = difflib.get_close_matches(given, sorted(known), n=1, cutoff=0.5)
    return f": did you mean {close[0]}?" if close else ": --help lists all of them"
