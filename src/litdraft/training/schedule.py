"""Learning rates over a run, as a share of the highest."""

from __future__ import annotations

import math


def warmup_cosine(step: int, total: int, warmup: float = 0.05, floor: float = 0.05) -> float:
    """Up in a straight line over the first `warmup` share of steps, then down half a cosine
    (Loshchilov and Hutter, arXiv 1608.03983) to `floor`."""
    rising = max(round(total * warmup), 1)
    if step < rising:
        return (step + 1) / rising
    done = min((step - rising) / max(total - rising, 1), 1.0)
    return floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * done))


def constant(step: int, total: int, warmup: float = 0.0) -> float:
    """The highest rate throughout, after an optional warm-up."""
    rising = max(round(total * warmup), 1)
    return min((step + 1) / rising, 1.0)
