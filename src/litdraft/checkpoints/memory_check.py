"""Whether weights fit into memory, checked before they are loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psutil
import torch

from litdraft.errors import UserError

GIB = 2**30


def check_fits(name: str, needed: int, devices: Sequence[torch.device]) -> None:
    """UserError if the devices together have too little free memory for a model."""
    free = sum(map(free_bytes, devices))
    if needed > free:
        names = " and ".join(map(str, devices))
        raise UserError(
            f"{name} needs {needed / GIB:.1f} GiB of memory, but {names} has {free / GIB:.1f} GiB "
            "free: give a smaller dtype, or a smaller model"
        )


def check_context(context: Any) -> None:
    """UserError unless a context is a positive number of positions."""
    if type(context) is not int or context < 1:
        raise UserError(
            f"context={context} was given: give a whole number of positions, at least 1"
        )


def all_devices() -> list[torch.device]:
    """The devices that a model can be spread over: every GPU, and the CPU."""
    count = torch.cuda.device_count()
    return [*(torch.device("cuda", index) for index in range(count)), torch.device("cpu")]


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)
