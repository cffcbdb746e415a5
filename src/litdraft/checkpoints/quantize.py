"""Weights in fewer bits, by torchao."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from litdraft.errors import UserError

KINDS = {"int8": "Int8WeightOnlyConfig", "int4": "Int4WeightOnlyConfig"}


def quantize_weights(model: nn.Module, kind: str) -> None:
    """Make a model's linear weights int8, a scale a row, or int4, a scale a group, in place; what
    is computed with them keeps its type. UserError where torchao cannot do that here."""
    if kind not in KINDS:
        raise UserError(f"target.quantize={kind} was given: choose null, {' or '.join(KINDS)}")
    try:
        torchao: Any = importlib.import_module("torchao.quantization")
        torchao.quantize_(model, getattr(torchao, KINDS[kind])())
    except (ImportError, NotImplementedError, RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"target.quantize={kind} is not to be had here ({reason}): pip install torchao, or "
            "leave it out"
        ) from error
