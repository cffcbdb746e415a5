"""Whether a run folder belongs to a config; the weights of the run that start= names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from litdraft.config.resolvers import digest
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.protocols import Drafter
from litdraft.runs.checkpoints import load_weights
from litdraft.runs.saved import saved_config
from litdraft.runs.status import MANIFEST


def check_same(config: DictConfig, folder: Path) -> None:
    """UserError if `folder` holds a finished training with a different config."""
    if not (folder / MANIFEST).exists():
        return
    theirs = OmegaConf.create(read_json(folder / MANIFEST)["config"])
    if digest(theirs) != digest(config):
        raise UserError(
            f"{folder} holds a run with a different config: leave out hydra.sweep.subdir, or give "
            "another hydra.sweep.dir"
        )


def check_start(config: DictConfig, run: Path) -> None:
    """UserError unless `run` trained the same drafter: equal shapes are not enough."""
    saved = saved_config(run, f"start={run}")
    theirs, mine = (OmegaConf.to_container(c.drafter, resolve=True) for c in (saved, config))
    assert isinstance(theirs, dict)
    assert isinstance(mine, dict)
    differ = [str(k) for k in {**theirs, **mine} if theirs.get(k) != mine.get(k)]
    if differ:
        values = ", ".join(f"drafter.{key} is {theirs.get(key)} there" for key in differ)
        raise UserError(f"start={run} trained another drafter than this one: {values}")


def start_loader(config: DictConfig) -> Callable[[Drafter], None] | None:
    """What fills a drafter with the weights of the run that start= names; None without start=."""
    if config.start is None:
        return None
    run = Path(config.start)

    def load(drafter: Drafter) -> None:
        check_start(config, run)
        load_weights(drafter, run)

    return load
