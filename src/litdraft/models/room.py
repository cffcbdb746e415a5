"""Whether weights fit, asked before they are loaded."""

from __future__ import annotations

import psutil
import torch

from litdraft.errors import UserError

GIB = 2**30


def check_fits(name: str, needed: int, device: torch.device) -> None:
    """UserError if a device has fewer free bytes than a model needs."""
    free = free_bytes(device)
    if needed > free:
        raise UserError(
            f"{name} needs {needed / GIB:.1f} GiB of memory, but {device} has {free / GIB:.1f} GiB "
            "free: give a smaller dtype, a quantized model, or more devices"
        )


def free_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free)
    return int(psutil.virtual_memory().available)
