"""A teacher without a cache: the target reads every batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from litdraft.protocols import Target, TargetOutput, TargetSpec
from litdraft.teachers.base import Logits, TeacherBatch


@dataclass(frozen=True)
class Online:
    """The target reads every batch: no disk space, but its time in every step."""

    cached = False
    has_hidden = True

    def facts(self, target: Target) -> dict[str, Any]:
        return {}

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float:
        return 0.0

    def to_store(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        return {}

    def output(
        self, target: Target, batch: TeacherBatch, taps: tuple[int, ...]
    ) -> TargetOutput | None:
        with torch.no_grad():
            start_BP = None if batch.start_BT is None else batch.start_BT[:, :-1]
            return target.forward(
                batch.tokens_BT[:, :-1], taps=taps, start_BP=start_BP, prompt_B=batch.prompt_B
            )

    def logits(self, target: Target, batch: TeacherBatch, output: TargetOutput | None) -> Logits:
        return unembedded(target, output)


def unembedded(target: Target, output: TargetOutput | None) -> Logits:
    """The target's logits, computed from hidden states when they are needed."""
    assert output is not None
    hidden_nD = output.hidden_BPD.flatten(0, 1)
    return lambda rows_n: target.unembed(hidden_nD[rows_n])
