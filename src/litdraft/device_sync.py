"""What the host may know without waiting for a device."""

from __future__ import annotations

import torch
from torch import Tensor


def known(x: Tensor) -> bool:
    """Whether looking at values costs nothing: on a CPU, outside of what is being compiled."""
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def nothing_in(mask_n: Tensor) -> bool:
    """Whether it is known that nothing is set."""
    return known(mask_n) and not bool(mask_n.any())
