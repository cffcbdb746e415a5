"""What a teacher is: how training gets the target's outputs for a batch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from litdraft.protocols import Target, TargetOutput, TargetSpec

Logits = Callable[[Tensor], Tensor]


class TeacherBatch(Protocol):
    """A batch of text, and the teacher outputs stored for it."""

    @property
    def tokens_BT(self) -> Tensor: ...

    @property
    def prompt_B(self) -> Tensor: ...

    @property
    def start_BT(self) -> Tensor | None: ...

    @property
    def teacher_outputs(self) -> dict[str, Tensor] | None: ...


class Teacher(Protocol):
    """How a drafter's training gets the target's distribution, and its hidden states.

    cached: `to_store` is computed once, written to disk and read back as
    `Batch.teacher_outputs`. has_hidden: it has hidden states and taps, not only distributions.
    """

    cached: bool
    has_hidden: bool

    def facts(self, target: Target) -> dict[str, Any]:
        """Plain data that decides what is stored."""

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float: ...

    def to_store(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        """What to store of a forward pass, for n flattened positions."""

    def output(
        self, target: Target, batch: TeacherBatch, taps: tuple[int, ...]
    ) -> TargetOutput | None:
        """The target's output for all tokens but the last; None if it is not stored."""

    def logits(self, target: Target, batch: TeacherBatch, output: TargetOutput | None) -> Logits:
        """A function from flat position indices rows_n to the target's logits_nV there."""
