"""Any transformers causal language model behind the Target protocol."""

from __future__ import annotations

from pathlib import Path

import torch

from litdraft.models.hf_open import open_hf
from litdraft.targets.frozen import Frozen, dtype_of


class HFCausalTarget(Frozen):
    """A Hugging Face folder or OWNER/NAME of any architecture that transformers continues text
    with, if its cache can roll back."""

    compiles = False  # thousands of lines that were not written for it: minutes, seen on two cores

    @classmethod
    def open(
        cls,
        path: str | Path,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
        fused: bool = False,
        context: int | None = None,
    ) -> HFCausalTarget:
        """UserError if it is none. dtype None keeps what is stored, or float32 on a CPU; `fused`
        changes nothing here; `context` is for models whose config.json names none."""
        device = torch.device(device)
        opened = open_hf(
            path, device, lambda stored: dtype or dtype_of(stored, device, fused=False), context
        )
        return cls(*opened)
