"""A small Llama of one's own: fresh, or begun as the target's first layers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from litdraft.drafters.parts.cached_lm import Cached
from litdraft.drafters.parts.sizes import chosen
from litdraft.errors import UserError
from litdraft.networks.llama import Llama, LlamaConfig
from litdraft.protocols import TargetSpec

BEGIN = ("fresh", "target")
SIZES = ("vocabulary", "width", "layers", "heads", "kv_heads", "head_width", "inner", "context")


class Transformer(Cached):
    """A Llama of `layers` layers; sizes that are not given are the target's own.

    begin: fresh, or target, embedding, first layers, last norm and unembedding copied before
    training: a drafter that leaves the target early (LayerSkip, arXiv 2404.16710), then trained.
    """

    def __init__(
        self, spec: TargetSpec | None = None, layers: int = 1, begin: str = "fresh", **sizes: Any
    ) -> None:
        if begin not in BEGIN:
            raise UserError(f"drafter.begin={begin} was given: choose {' or '.join(BEGIN)}")
        shape = None if spec is None else spec.shape or _sizes_of(spec)
        model = Llama(config_of({"layers": layers, **sizes}, shape))
        model.reset_parameters()
        super().__init__(model)
        size = model.config.vocabulary
        if spec is not None and size != spec.vocabulary:
            raise UserError(
                f"drafter.vocabulary={size} was given, but {spec.name} has {spec.vocabulary} "
                "tokens: leave it out"
            )
        self.begin = begin

    def prepare(self, counts_V: Callable[[], Tensor]) -> None:
        if self.begin == "target":
            self._take(self.target.weights())

    @torch.no_grad()
    def _take(self, weights: Mapping[str, Tensor]) -> None:
        """UserError if the target's weights are of another shape."""
        for name, own in self.model.named_parameters():
            given = weights.get(name)
            if given is None or given.shape != own.shape:
                raise UserError(
                    f"drafter.begin=target needs a Llama target of the drafter's sizes, but {name} "
                    f"is {None if given is None else tuple(given.shape)} there and "
                    f"{tuple(own.shape)} here: leave out the drafter's sizes but layers"
                )
            own.copy_(given)


def _sizes_of(spec: TargetSpec) -> dict[str, Any]:
    """The sizes that any target has."""
    return {"vocabulary": spec.vocabulary, "context": spec.context}


def config_of(given: Mapping[str, Any], shape: Mapping[str, Any] | None) -> LlamaConfig:
    """The Llama of some given sizes, the others as in `shape`; UserError if that is none."""
    sizes = chosen(given, shape or {}, LlamaConfig, "a Llama", SIZES)
    config = LlamaConfig(**sizes)
    if config.heads % config.kv_heads or config.head_width % 2:
        raise UserError(
            f"the drafter has heads={config.heads}, kv_heads={config.kv_heads}, "
            f"head_width={config.head_width}: kv_heads must divide heads, and heads be evenly wide"
        )
    return config
