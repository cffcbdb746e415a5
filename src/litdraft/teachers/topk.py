"""A teacher that stores the target's most probable tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.protocols import Target, TargetOutput, TargetSpec
from litdraft.sampling import log_softmax
from litdraft.teachers.base import Logits, TeacherBatch

CHUNK = 1024  # positions unembedded at a time


@dataclass(frozen=True)
class TopK:
    """Stores the `top` largest log-probabilities of every position, and the probability of all
    other tokens together, which is spread evenly over them. For drafters that read only tokens."""

    top: int = 64
    cached = True
    has_hidden = False

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UserError(f"teacher.top={self.top} was given, but it must be at least 1")

    def facts(self, target: Target) -> dict[str, Any]:
        return {"teacher": "topk", "top": self.top}

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float:
        return 6.0 * min(self.top, spec.vocabulary) + 4

    def to_store(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        chunks = [self._top(target.unembed(some)) for some in output.hidden_BPD.split(CHUNK)]
        top, token, rest = (torch.cat(part) for part in zip(*chunks, strict=True))
        return {"top": top, "token": token, "rest": rest}

    def output(
        self, target: Target, batch: TeacherBatch, taps: tuple[int, ...]
    ) -> TargetOutput | None:
        return None

    def logits(self, target: Target, batch: TeacherBatch, output: TargetOutput | None) -> Logits:
        assert batch.teacher_outputs is not None
        flat = {name: values.flatten(0, 1) for name, values in batch.teacher_outputs.items()}

        def logits(rows_n: Tensor) -> Tensor:
            others = max(target.spec.vocabulary - flat["top"].shape[1], 1)
            rest_n1 = flat["rest"][rows_n] - torch.log(flat["rest"].new_tensor(others))
            all_nV = rest_n1.expand(-1, target.spec.vocabulary).clone()
            return all_nV.scatter_(1, flat["token"][rows_n].long(), flat["top"][rows_n].float())

        return logits

    def _top(self, logits_nV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """top_nN and token_nN: the largest log-probabilities and their ids; rest_n1: the
        log-probability of all other tokens together."""
        log_nV = log_softmax(logits_nV)
        top_nN, token_nN = log_nV.topk(min(self.top, log_nV.shape[1]))
        rest_n1 = (1 - top_nN.exp().sum(-1, keepdim=True)).clamp_min(1e-30).log()
        return top_nN.half(), token_nN.int(), rest_n1
