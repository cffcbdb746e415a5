"""A report as an evaluation puts it together, without an evaluation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from litdraft.acceptance.counts import Counts
from litdraft.evaluation.losslessness import Verdicts
from litdraft.reports import figures


def times(batches: int = 6, pace: float = 1.5) -> Tensor:
    """times_n6 of a drafter that is `pace` times as fast."""
    plain_n = 1 + torch.arange(batches, dtype=torch.float64) / 10
    tokens_n = torch.full((batches,), 100.0, dtype=torch.float64)
    prefill_n = torch.full_like(plain_n, 0.1)
    return torch.stack((prefill_n, plain_n, tokens_n, prefill_n, plain_n / pace, tokens_n), 1)


LENGTHS = [
    {"k": 1, "mean_acceptance_length": 1.5, "round_seconds": 1e-3, "tokens_per_second": 1500.0},
    {"k": 2, "mean_acceptance_length": 1.8, "round_seconds": 1.1e-3, "tokens_per_second": 1636.4},
]


def sample(times_n6: Tensor | None = None, mismatches: int = 0, **changed: Any) -> dict[str, Any]:
    """Rounds that kept 0, 0, 1 and 2 of two drafts."""
    block = {
        **figures.acceptance(Counts.of([[0, 0, 1, 2]], [[2, 2, 2, 2]], 2)),
        "predicted_mean_acceptance_length": 1.7,
        "predicted_survival": [0.5, 0.2],
        "repeated_4grams": figures.share(1, 4),
        "floor": {"lookup": 1.2, "untrained": 1.0},
        "groups": {},
    }
    return {
        "temperature": 0.0,
        **block,
        **figures.speed(times() if times_n6 is None else times_n6),
        "k": 2,
        "draft_lengths": [],
        "fused": True,
        "mode": "lossless",
        "losslessness": figures.losslessness(Verdicts(8, 7, 1, mismatches), 3e-5),
        "beside": {"temperature": 1.0, **block},
        "prompts": 8,
        "batch": 1,
        "target": "tiny",
        "drafter": "lstm",
        "dtype": "float32",
        "compile": "auto",
        "seed": 0,
        "command": "python evaluate.py run=outputs/one",
        "commit": None,
        "versions": {"python": "3.11"},
        "device": "a processor, 2 threads",
        **changed,
    }
