"""A frozen model behind the Target protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from litdraft.errors import UserError
from litdraft.native.build import fastest_dtype, usable
from litdraft.networks.cache import round_up
from litdraft.networks.memory_format import by_columns
from litdraft.protocols import (
    Cache,
    EncoderDecoderLayout,
    TargetOutput,
    TargetSpec,
    Tree,
    encoder_kwargs,
)
from litdraft.tokenizers.base import Tokenizer


class Frozen:
    """What every target in memory does alike, given a model that reads, embeds and unembeds.

    Not a Module on purpose: nobody trains or saves it.
    """

    compiles = True
    source: Path | None = None  # the checkpoint it was opened from, if `load_target` did
    tokenizer: Tokenizer | None = None  # the same

    @property
    def packs(self) -> bool:
        return True

    @property
    def trees(self) -> bool:
        return True

    def __init__(
        self,
        model: Any,
        name: str,
        bos: int | None = None,
        eos: tuple[int, ...] = (),
        shape: Mapping[str, Any] | None = None,
        encoder_decoder: EncoderDecoderLayout | None = None,
    ) -> None:
        self.model: Any = model.eval().requires_grad_(False)
        if self.device.type == "cpu" and self.dtype == torch.float32:
            by_columns(model)
        sizes = model.config
        self.spec = TargetSpec(
            name,
            sizes.vocabulary,
            sizes.width,
            sizes.layers,
            sizes.context,
            bos,
            eos,
            fingerprint(model),
            shape,
            encoder_decoder,
        )

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    def allocate(self, rows: int, capacity: int) -> Cache:
        if capacity > self.spec.context:
            raise UserError(
                f"{capacity} positions are needed, but {self.spec.name} has a context of "
                f"{self.spec.context}: shorten the prompt or lower max_new_tokens"
            )
        capacity = min(round_up(capacity), self.spec.context)  # so that shapes are few
        cache: Cache = self.model.allocate(rows, capacity)
        return cache

    def forward(
        self,
        tokens_BP: Tensor,
        cache: Cache | None = None,
        taps: tuple[int, ...] = (),
        start_BP: Tensor | None = None,
        prompt_B: Tensor | None = None,
        tree: Tree | None = None,
    ) -> TargetOutput:
        extra: dict[str, Any] = encoder_kwargs(self.spec.encoder_decoder, start_BP, prompt_B)
        if tree is not None:
            if not self.trees:
                raise UserError(
                    f"{self.spec.name} cannot read draft trees: use a drafter of chains"
                )
            extra["tree"] = tree
        return TargetOutput(*self.model.forward(tokens_BP, cache, taps, **extra))

    def embed(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.model.embed(tokens)
        return embedded

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        logits_nV: Tensor = self.model.unembed(hidden_nD)
        return logits_nV

    def argmax(self, hidden_nD: Tensor) -> Tensor:
        tokens_n: Tensor = self.model.argmax(hidden_nD)
        return tokens_n

    def unembed_subset(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        narrowed: Callable[[Tensor], Tensor] = self.model.unembed_subset(vocabulary_U)
        return narrowed

    def weights(self) -> Mapping[str, Tensor]:
        return dict(self.model.named_parameters())

    @property
    def packed(self) -> tuple[Tensor, Tensor] | None:
        return None


def dtype_of(stored: torch.dtype, device: torch.device, fused: bool) -> torch.dtype:
    """As stored; on a CPU only where half precision is the faster one, by measurement."""
    if device.type != "cpu":
        return stored
    if stored != torch.bfloat16 or not fused or not usable(device, stored):
        return torch.float32
    return fastest_dtype()


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
