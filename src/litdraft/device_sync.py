"""Reading a tensor's values on the host only if that does not wait for a device."""

from __future__ import annotations

import torch
from torch import Tensor


def values_known(x: Tensor) -> bool:
    """Whether the host can read the values at no cost: on a CPU, and not while compiling."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def known_empty(mask_n: Tensor) -> bool:
    """Whether the host knows, at no cost, that the mask is False everywhere."""
    return values_known(mask_n) and not bool(mask_n.any())
