"""A frozen native Llama behind the Target protocol."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from litdraft.checkpoints.load import load_llama, open_checkpoint
from litdraft.native.build import usable
from litdraft.networks.fused_llama import FusedLlama
from litdraft.networks.llama import Llama
from litdraft.targets.frozen import Frozen, dtype_of


class LlamaTarget(Frozen):
    """Any Llama checkpoint as a target."""

    def __init__(
        self, model: Llama, name: str = "llama", bos: int | None = None, eos: tuple[int, ...] = ()
    ) -> None:
        super().__init__(model, name, bos, eos, vars(model.config))

    @classmethod
    def open(
        cls,
        path: str | Path,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
        fused: bool = False,
        context: int | None = None,
    ) -> LlamaTarget:
        """A Hugging Face or Meta folder or a llama2.c .bin; UserError if it is none of them.

        dtype None keeps the weights as they are stored, or in float32 where a CPU is faster with
        it. `fused` is for decoding: a CPU then reads by the fused step where it can be built.
        `context` positions instead of as many as the checkpoint says.
        """
        checkpoint = open_checkpoint(path)
        device = torch.device(device)
        if dtype is None:
            dtype = dtype_of(next(iter(checkpoint.parts())).values.dtype, device, fused)
        model = load_llama(checkpoint, dtype, device, context)
        target = cls(model, checkpoint.name, checkpoint.bos, checkpoint.eos)
        if fused and usable(device, dtype):
            target.fuse()
        return target

    def fuse(self) -> None:
        """Take the model apart for the fused step: for decoding on a CPU, without gradients."""
        self.model = FusedLlama(self.model)

    @property
    def fused(self) -> bool:
        return isinstance(self.model, FusedLlama)

    @property
    def packed(self) -> tuple[Tensor, Tensor] | None:
        return (self.model.weights, self.model.head) if self.fused else None
