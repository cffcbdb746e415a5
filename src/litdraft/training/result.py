"""What a training returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from litdraft.protocols import Drafter


@dataclass(frozen=True)
class TrainingResult:
    """What a training gave.

    monitor: the figure that chose the best checkpoint: val/mean_acceptance_length (tokens per
    round, predicted by replay) or, without a target, val/loss (nats per token). score: its best
    value; NaN after a preview. parameters: how many were trained. seconds: of training, validation
    included, also those of the runs that this one continued. drafter: with the last step's weights;
    with the best ones if it is a language model without a target.
    """

    folder: Path
    monitor: str
    score: float
    parameters: int
    seconds: float
    drafter: Drafter
