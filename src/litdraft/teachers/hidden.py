"""A teacher that stores the target's hidden states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.protocols import Target, TargetOutput, TargetSpec
from litdraft.teachers.base import Logits, TeacherBatch
from litdraft.teachers.online import unembedded

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


@dataclass(frozen=True)
class Hidden:
    """Stores the last hidden states and the taps; the target's unembedding gives the logits.

    dtype: auto (the target's own type, without loss), float32, bfloat16, or int8 with one scale per
    vector (its largest absolute value / 127).
    """

    dtype: str = "auto"
    cached = True
    has_hidden = True

    def __post_init__(self) -> None:
        if self.dtype != "auto" and self.dtype not in DTYPES:
            known = ", ".join(("auto", *DTYPES))
            raise UserError(f"teacher.dtype={self.dtype} was given: choose one of {known}")

    def facts(self, target: Target) -> dict[str, Any]:
        dtype = str(self._dtype(target.dtype)).removeprefix("torch.")
        return {"teacher": "hidden", "stored_dtype": dtype}

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float:
        dtype = self._dtype(dtype)
        scales = 4 * (1 + bool(taps)) if dtype == torch.int8 else 0
        return spec.width * (1 + taps) * dtype.itemsize + scales

    def to_store(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        states = {"hidden": output.hidden_BPD}
        if output.taps_BPC is not None:
            states["taps"] = output.taps_BPC
        dtype = self._dtype(target.dtype)
        if dtype != torch.int8:
            return {name: values_nC.to(dtype) for name, values_nC in states.items()}
        stored = {}
        for name, values_nC in states.items():
            scale_n1 = values_nC.float().abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127
            stored[name] = (values_nC / scale_n1).round().to(torch.int8)
            stored[f"{name}_scale"] = scale_n1
        return stored

    def output(
        self, target: Target, batch: TeacherBatch, taps: tuple[int, ...]
    ) -> TargetOutput | None:
        assert batch.teacher_outputs is not None
        hidden_BPD = _dequantized(batch.teacher_outputs, "hidden", target.dtype)
        taps_BPC = _dequantized(batch.teacher_outputs, "taps", target.dtype) if taps else None
        return TargetOutput(hidden_BPD, taps_BPC)

    def logits(self, target: Target, batch: TeacherBatch, output: TargetOutput | None) -> Logits:
        return unembedded(target, output)

    def _dtype(self, dtype: torch.dtype) -> torch.dtype:
        return dtype if self.dtype == "auto" else DTYPES[self.dtype]


def _dequantized(stored: dict[str, Tensor], name: str, dtype: torch.dtype) -> Tensor:
    values = stored[name].to(dtype)
    scale = stored.get(f"{name}_scale")
    return values if scale is None else values * scale.to(dtype)
