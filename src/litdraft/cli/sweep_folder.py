"""A sweep's folder and its plugins' settings: the same command, the same folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig

from litdraft.config.overrides import parsed
from litdraft.config.resolvers import digest

SWEEPS = "outputs/sweeps"
FOLDER = "hydra.sweep.dir"
# Jobs return a mean acceptance length, but Optuna minimizes; and it would give up with the first
# job that fails, which is only a row of the table.
OPTUNA = {"hydra.sweeper.direction": "maximize", "hydra.sweeper.max_failure_rate": "1.0"}
ADDRESS = "hydra.launcher.ray.init.address"
# Ray joins a cluster only if one is named; hydra-ray-launcher 1.2.2 gives it a size as well, which
# an existing cluster refuses.
RAY, CLUSTER = {ADDRESS: "local"}, {"+hydra.launcher.ray.init.object_store_memory": "null"}


def sweep_words(config: DictConfig, words: Sequence[str]) -> list[str]:
    """The words of a sweep with its folder among them.

    The folder is the one given; or that of name=, which in a sweep names the whole, as jobs are
    named by their choices; or, for an experiment that sweeps by itself, one named after it and
    what all its jobs share. Any other sweep gets a new one. It is absolute, because a job may run
    in a process that begins elsewhere.
    """
    given = {o.key_or_group: str(o.value()) for o in parsed(words) if not o.is_sweep_override()}
    taken = {"name", FOLDER} & given.keys()
    kept = [word for word in words if word.partition("=")[0] not in taken]
    for key, value in _plugin_settings(given).items():
        if key.lstrip("+") not in given:
            kept.append(f"{key}={value}")
    folder = given.get(FOLDER) or _named(config, given)
    return [*kept, f"{FOLDER}='{Path.cwd() / folder}'"] if folder else kept


def _plugin_settings(given: dict[str, str]) -> dict[str, str]:
    """Settings of plugins that a user should not have to know."""
    sweeper = OPTUNA if given.get("hydra/sweeper") == "optuna" else {}
    if given.get("hydra/launcher") != "ray":
        return sweeper
    joins = given.get(ADDRESS, "local") not in ("local", "None")
    return sweeper | (CLUSTER if joins else RAY)


def _named(config: DictConfig, given: dict[str, str]) -> str | None:
    if "name" in given:
        return f"{SWEEPS}/{given['name']}"
    experiment = config.hydra.runtime.choices.get("experiment")
    by_itself = bool(config.hydra.sweeper.get("params"))
    return f"{SWEEPS}/{experiment}-{digest(config)}" if by_itself and experiment else None
