"""Weights in fewer bits, by torchao."""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from litdraft.errors import UserError

FORMATS = {"int8": "Int8WeightOnlyConfig", "int4": "Int4WeightOnlyConfig"}


def quantize_weights(model: nn.Module, format_: str) -> None:
    """Quantize a model's linear weights in place: int8 with one scale per row, or int4 with one per
    group. Activations keep their type. UserError if torchao cannot do it here."""
    if format_ not in FORMATS:
        raise UserError(f"target.quantize={format_} was given: choose null, {' or '.join(FORMATS)}")
    try:
        torchao: Any = importlib.import_module("torchao.quantization")
        torchao.quantize_(model, getattr(torchao, FORMATS[format_])())
    except (ImportError, NotImplementedError, RuntimeError, AssertionError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"target.quantize={format_} does not work here ({reason}): pip install torchao, or "
            "leave it out"
        ) from error
