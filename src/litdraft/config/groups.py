"""From a group of a composed config to the object that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from litdraft.errors import UserError


def build(node: DictConfig, **extra: Any) -> Any:
    """Make what a group names from plain arguments and runtime objects."""
    # Hydra would take a dataclass for a config and wrap what is raised, so it only names the maker.
    return maker(node)(**extra)


def maker(node: DictConfig) -> Callable[..., Any]:
    """What a group names, to be called with what only the run knows."""
    try:
        made: Callable[..., Any] = instantiate(node, _convert_="all", _partial_=True)
        return made
    except InstantiationException as error:
        raise UserError(str(error).splitlines()[0]) from error


def group_without(config: DictConfig, group: str, keys: Iterable[str] = ()) -> DictConfig:
    """A resolved copy of a group without some keys; UserError if a key has no value."""
    node: DictConfig = config[group].copy()
    # Interpolations see the whole config through the parent.
    node._set_parent(config)
    node._set_key(group)
    for key in map(str, node):
        if OmegaConf.is_missing(node, key):
            whole = config._get_full_key(f"{group}.{key}")
            raise UserError(f"{whole} has no value: give {whole}=...")
    OmegaConf.set_struct(node, False)
    for key in keys:
        if key in node:
            del node[key]
    OmegaConf.resolve(node)
    return node
