"""Which device and which type a target is opened with."""

from __future__ import annotations

import os

import torch

from litdraft.errors import UserError
from litdraft.limits import FLOATS


def own_device(accelerator: str = "auto") -> torch.device:
    """This process's device, as Lightning will choose it."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def named_dtype(name: str) -> torch.dtype | None:
    """None for auto: as the checkpoint is stored, if that is fast."""
    if name != "auto" and name not in FLOATS:
        raise UserError(f"dtype={name} was given: choose one of auto, {', '.join(FLOATS)}")
    return None if name == "auto" else getattr(torch, name)
