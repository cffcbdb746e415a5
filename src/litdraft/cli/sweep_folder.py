"""A sweep's command line, settled before Hydra starts: the same command, the same folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hydra.types import RunMode
from omegaconf import DictConfig

from litdraft.config.overrides import composed, parsed
from litdraft.config.schema import digest

SWEEPS = "outputs/sweeps"
PLACE = "hydra.sweep.dir"
FLAGS = {"-m", "--multirun"}
# Jobs return a mean acceptance length, but Optuna minimizes; and it would give up with the first
# job that fails, which is only a row of the table.
OPTUNA = {"hydra.sweeper.direction": "maximize", "hydra.sweeper.max_failure_rate": "1.0"}
ADDRESS = "hydra.launcher.ray.init.address"
# Ray joins a cluster only where one is named; hydra-ray-launcher 1.2.2 gives it a size as well,
# which a cluster that is there already refuses.
RAY, CLUSTER = {ADDRESS: "local"}, {"+hydra.launcher.ray.init.object_store_memory": "null"}


def settled(conf: Path, root: str, arguments: Sequence[str]) -> list[str]:
    """A sweep's arguments with its folder among them; any others as they are.

    The folder is the one given; or that of name=, which in a sweep names the whole, as jobs are
    named by their choices; or, for an experiment that is a sweep by itself, one named by it and
    by what all its jobs share. Any other sweep gets a new one. It is absolute, because a job may
    run in a process that begins elsewhere.
    """
    overrides = [o for o in parsed(arguments) if not o.is_sweep_override()]
    config = composed(conf, root, [o.input_line or "" for o in overrides])
    by_itself = config.hydra.mode == RunMode.MULTIRUN
    if not by_itself and not FLAGS & set(arguments):
        return list(arguments)
    given = {o.key_or_group: str(o.value()) for o in overrides}
    # A flag among overrides would part them, which argparse does not take.
    taken = {"name", PLACE} & given.keys()
    words = [word for word in arguments if word in FLAGS]
    words += [w for w in arguments if w not in FLAGS and w.partition("=")[0] not in taken]
    for key, value in _wanted(given).items():
        if key.lstrip("+") not in given:
            words.append(f"{key}={value}")
    folder = given.get(PLACE) or _named(config, given, by_itself)
    return [*words, f"{PLACE}='{Path.cwd() / folder}'"] if folder else words


def _wanted(given: dict[str, str]) -> dict[str, str]:
    """Settings of plugins that a user should not have to know."""
    if given.get("hydra/sweeper") == "optuna":
        return OPTUNA | _launched(given)
    return _launched(given)


def _launched(given: dict[str, str]) -> dict[str, str]:
    if given.get("hydra/launcher") != "ray":
        return {}
    return CLUSTER if given.get(ADDRESS, "local") not in ("local", "None") else RAY


def _named(config: DictConfig, given: dict[str, str], by_itself: bool) -> str | None:
    if "name" in given:
        return f"{SWEEPS}/{given['name']}"
    experiment = config.hydra.runtime.choices.get("experiment")
    return f"{SWEEPS}/{experiment}-{digest(config)}" if by_itself and experiment else None
