"""Any transformers causal language model behind the Target protocol."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch

from litdraft.checkpoints.hf_causal import open_hf
from litdraft.checkpoints.quantize import quantize_weights
from litdraft.targets.frozen import Frozen, dtype_of


class HFCausalTarget(Frozen):
    """A Hugging Face folder or OWNER/NAME of any architecture that transformers continues text
    with, if its cache can roll back."""

    compiles = False  # thousands of lines that were not written for it: minutes, seen on two cores

    @property
    def packs(self) -> bool:
        packs: bool = self.model.packs
        return packs

    @property
    def trees(self) -> bool:
        trees: bool = self.model.trees
        return trees

    @classmethod
    def open(
        cls,
        path: str | Path,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
        fused: bool = False,
        context: int | None = None,
        quantize: str | None = None,
        devices: str | None = None,
    ) -> HFCausalTarget:
        """UserError if it is none. dtype None keeps what is stored, or float32 on a CPU; `fused`
        changes nothing here; `context` is for models whose config.json names none; devices=auto
        spreads layers over all there are; `quantize` makes the backbone's weights int8 or int4."""
        device = torch.device(device)
        opened = open_hf(
            path,
            device,
            lambda stored: dtype or dtype_of(stored, device, fused=False),
            context,
            devices,
        )
        target = cls(*opened)
        if quantize is not None:
            quantize_weights(opened.model.backbone, quantize)
            told = f"{target.spec.fingerprint}-{quantize}"
            target.spec = replace(target.spec, fingerprint=told)
        return target
