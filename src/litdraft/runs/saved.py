"""The configuration that a run folder was trained with: foreign input, so checked before use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf

from litdraft.config.conf_folder import named_targets
from litdraft.errors import UserError
from litdraft.runs.status import RESTORED_GROUPS

HYDRA = ".hydra"


def saved_config(run: Path, given: str, folders: Sequence[Path] = ()) -> Any:
    """The config a run was composed of.

    UserError, which calls the run as `given`, if it is no run, or if its config names an object
    that neither conf/ nor the user's own `folders` name: no other code of a saved config runs.
    """
    path = run / HYDRA / "config.yaml"
    if not path.exists():
        raise UserError(f"{given} is not the folder of a training run: {_known_runs()}")
    config: Any = OmegaConf.load(path)
    known = named_targets(folders)
    for group in RESTORED_GROUPS:
        for target in _targets(config.get(group)):
            if target not in known:
                raise UserError(
                    f"{given} uses {target}, which no configuration file names: it was made by an "
                    "earlier version, train it again (or give the --config-dir it was trained with)"
                )
    return config


def saved_choices(run: Path, given: str) -> dict[str, str]:
    """What the run chose in each restored group; "null" for an empty one."""
    path = run / HYDRA / "hydra.yaml"
    if not path.exists():
        raise UserError(f"{given} is not the folder of a training run: {_known_runs()}")
    choices = OmegaConf.load(path).hydra.runtime.choices
    return {group: str(choices.get(group) or "null") for group in RESTORED_GROUPS}


def _known_runs() -> str:
    known = sorted(str(path.parent) for path in Path("outputs").glob(f"*/{HYDRA}"))
    return f"there is {', '.join(known[:5])}" if known else "train one with litdraft train"


def _targets(node: Any) -> Iterator[str]:
    """Every _target_ in a config, nested ones too."""
    if isinstance(node, DictConfig):
        for key in node:
            inner: Any = node._get_node(key)
            if key == "_target_":
                yield str(node[key])
            elif isinstance(inner, DictConfig | ListConfig) and not inner._is_none():
                yield from _targets(inner)
    elif isinstance(node, ListConfig):
        for element in node._iter_ex(resolve=False):
            yield from _targets(element)
