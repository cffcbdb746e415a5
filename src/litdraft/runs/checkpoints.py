"""A run folder's checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.protocols import Drafter
from litdraft.runs.status import BEST, CHECKPOINTS


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
