"""A frozen native Llama behind the Target protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from litdraft.errors import UserError
from litdraft.models.cache import roomy
from litdraft.models.fused import FusedLlama
from litdraft.models.llama import Llama
from litdraft.models.weights import load_llama, open_checkpoint
from litdraft.native.build import fastest_dtype, usable
from litdraft.protocols import Cache, Reading, TargetSpec


class LlamaTarget:
    """Any Llama checkpoint as a target. Not a Module on purpose: nobody trains or saves it."""

    def __init__(
        self, model: Llama, name: str = "llama", bos: int | None = None, eos: tuple[int, ...] = ()
    ) -> None:
        self.model: Any = model.eval().requires_grad_(False)
        if self.device.type == "cpu" and self.dtype == torch.float32:
            pack(model)
        config = model.config
        self.spec = TargetSpec(
            name,
            config.vocabulary,
            config.width,
            config.layers,
            config.context,
            bos,
            eos,
            fingerprint(model),
            vars(config),
        )

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
            dtype = _dtype_of(next(iter(checkpoint.parts())).values.dtype, device, fused)
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
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    def allocate(self, rows: int, room: int) -> Cache:
        if room > self.spec.context:
            raise UserError(
                f"{room} positions are needed, but {self.spec.name} has a context of "
                f"{self.spec.context}: shorten the prompt or lower max_new_tokens"
            )
        room = min(roomy(room), self.spec.context)  # so that shapes are few
        cache: Cache = self.model.allocate(rows, room)
        return cache

    def read(
        self,
        tokens_BP: Tensor,
        cache: Cache | None = None,
        taps: tuple[int, ...] = (),
        start_BP: Tensor | None = None,
    ) -> Reading:
        if start_BP is None:
            return Reading(*self.model.read(tokens_BP, cache, taps))
        return Reading(*self.model.read(tokens_BP, cache, taps, start_BP))

    def embed(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.model.embed(tokens)
        return embedded

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        logits_nV: Tensor = self.model.unembed(hidden_nD)
        return logits_nV

    def best(self, hidden_nD: Tensor) -> Tensor:
        tokens_n: Tensor = self.model.best(hidden_nD)
        return tokens_n

    def narrowed(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        narrowed: Callable[[Tensor], Tensor] = self.model.narrowed(vocabulary_U)
        return narrowed

    def weights(self) -> Mapping[str, Tensor]:
        return dict(self.model.named_parameters())

    @property
    def packed(self) -> tuple[Tensor, Tensor] | None:
        return (self.model.weights, self.model.head) if self.fused else None


def _dtype_of(stored: torch.dtype, device: torch.device, fused: bool) -> torch.dtype:
    """As stored; on a CPU only where half precision is the faster one, by measurement."""
    if device.type != "cpu":
        return stored
    if stored != torch.bfloat16 or not fused or not usable(device, stored):
        return torch.float32
    return fastest_dtype()


def pack(model: nn.Module) -> None:
    """Lay the matrices out by columns, without changing their shape.

    float32 products of two to eight rows, which is what verification reads, were seen to run two to
    three times as fast that way on a CPU (160 x 864, 4 rows: 6 against 19 microseconds).
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):  # a tied embedding is the head
            module.weight.data = module.weight.data.t().contiguous().t()


def fingerprint(model: nn.Module, samples: int = 64) -> str:
    """A hash of some values of every weight, the same in every type that can hold them."""
    digest = hashlib.sha256()
    for name, weight in sorted(model.named_parameters()):
        digest.update(f"{name} {tuple(weight.shape)}".encode())
        step = max(weight.numel() // samples, 1) | 1  # odd, so that columns vary
        places_n = torch.arange(0, weight.numel(), step, device=weight.device)
        columns = weight.shape[-1]
        values_n = weight.detach().view(-1, columns)[places_n // columns, places_n % columns]
        digest.update(values_n.float().cpu().numpy().tobytes())
    return digest.hexdigest()[:16]
