"""Limits that are checked before anything heavy is imported."""

from __future__ import annotations

from litdraft.errors import UserError

LONGEST_DRAFT = 8  # the longest k that k=auto tries
FLOATS = ("float32", "bfloat16", "float16", "float64")  # of dtype=, beside auto


def check_sampling(temperature: float, top_k: int, top_p: float) -> None:
    """UserError if no token can be drawn like this."""
    if temperature < 0 or top_k < 0 or not 0 < top_p <= 1:
        raise UserError(
            f"cannot sample with temperature={temperature}, top_k={top_k}, top_p={top_p}: "
            "temperature and top_k must be at least 0, top_p in (0, 1]"
        )
