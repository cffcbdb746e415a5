"""A sweep's folder and its plugins' settings: the same command, the same folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict

from litdraft.config.overrides import parsed
from litdraft.config.resolvers import digest

SWEEPS = "outputs/sweeps"
FOLDER = "hydra.sweep.dir"
# Jobs return a mean acceptance length, but Optuna minimizes; and it would give up with the first
# job that fails, which is only a row of the table.
OPTUNA = {"hydra.sweeper.direction": "maximize", "hydra.sweeper.max_failure_rate": 1.0}
ADDRESS = "hydra.launcher.ray.init.address"
# Ray joins a cluster only if one is named; hydra-ray-launcher 1.2.2 gives it a size as well, which
# an existing cluster refuses.
RAY: dict[str, Any] = {ADDRESS: "local"}
CLUSTER: dict[str, Any] = {"hydra.launcher.ray.init.object_store_memory": None}


def prepare_sweep(config: DictConfig) -> None:
    """Write a sweep's folder and its plugins' settings into the composed config, and into the
    overrides from which each job is composed.

    The folder is the one given; or that of name=, which in a sweep names the whole, as jobs are
    named by their choices; or, for an experiment that is a sweep, one named after it and what all
    its jobs share. Any other sweep gets a new one. It is absolute, because a job may run in a
    process that begins elsewhere.
    """
    overrides = config.hydra.overrides
    given = {
        o.key_or_group: str(o.value())
        for o in parsed([*overrides.hydra, *overrides.task])
        if not o.is_sweep_override()
    }
    settings = {k: v for k, v in _plugin_settings(config).items() if k not in given}
    folder = given.get(FOLDER) or _named_folder(config, given)
    if folder:
        settings[FOLDER] = str(Path.cwd() / folder)
    with open_dict(config.hydra):
        overrides.task = [w for w in overrides.task if w.partition("=")[0] != "name"]
        for key, value in settings.items():
            OmegaConf.update(config, key, value, force_add=True)
            overrides.hydra.append(f"++{key}={_quoted(value)}")


def _quoted(value: Any) -> str:
    if isinstance(value, str):
        escaped = value.replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return "null" if value is None else str(value)


def _plugin_settings(config: DictConfig) -> dict[str, Any]:
    """Settings of plugins that a user should not have to know."""
    choices = config.hydra.runtime.choices
    settings: dict[str, Any] = {}
    if choices.get("hydra/sweeper") == "optuna":
        settings |= OPTUNA
    if choices.get("hydra/launcher") == "ray":
        address = OmegaConf.select(config, ADDRESS)
        settings |= RAY if address in (None, "local") else CLUSTER
    return settings


def _named_folder(config: DictConfig, given: dict[str, str]) -> str | None:
    if "name" in given:
        return f"{SWEEPS}/{given['name']}"
    experiment = config.hydra.runtime.choices.get("experiment")
    params = OmegaConf.select(config, "hydra.sweeper.params")
    return f"{SWEEPS}/{experiment}-{digest(config)}" if params and experiment else None
