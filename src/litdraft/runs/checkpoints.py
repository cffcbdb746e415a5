"""A run folder's checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from litdraft.errors import UserError
from litdraft.protocols import Drafter

CHECKPOINTS = "checkpoints"
BEST, LAST = "best", "last"


def run_config(run: Path, told: str) -> Any:
    """What a run was composed of; UserError, which names it as `told`, if it is none."""
    path = run / ".hydra" / "config.yaml"
    if not path.exists():
        raise UserError(f"{told} is no folder of a training run: give one that train.py printed")
    return OmegaConf.load(path)


def check_start(config: DictConfig, run: Path) -> None:
    """UserError unless `run` trained the same drafter: equal shapes are not enough."""
    saved = run_config(run, f"start={run}")
    theirs, mine = (OmegaConf.to_container(c.drafter, resolve=True) for c in (saved, config))
    assert isinstance(theirs, dict)
    assert isinstance(mine, dict)
    differ = [str(k) for k in {**theirs, **mine} if theirs.get(k) != mine.get(k)]
    if differ:
        told = ", ".join(f"drafter.{key} is {theirs.get(key)} there" for key in differ)
        raise UserError(f"start={run} trained another drafter than this one: {told}")


def load_weights(drafter: Drafter, run: Path) -> None:
    """Fill a drafter from a run's best checkpoint; UserError if there is none, or another's."""
    path = run / CHECKPOINTS / f"{BEST}.ckpt"
    if not path.exists():
        raise UserError(f"{run} holds no {CHECKPOINTS}/{BEST}.ckpt: its training did not get far")
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)["state_dict"]
    try:
        drafter.load_state_dict({n.removeprefix("drafter."): w for n, w in state.items()})
    except RuntimeError as error:
        raise UserError(
            f"{run} trained a drafter of another shape ({str(error).splitlines()[1].strip()}): "
            "leave out the drafter.* keys that differ from the run's"
        ) from None
