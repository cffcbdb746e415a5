"""A frozen native Llama behind the Target protocol."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.errors import UserError
from litdraft.models.cache import StaticCache
from litdraft.models.llama import Llama
from litdraft.models.weights import load_llama, open_checkpoint
from litdraft.protocols import Cache, Reading, TargetSpec

FEW = 16  # tokens a pass that decoding reads, as opposed to a prompt


class LlamaTarget:
    """Any Llama checkpoint as a target. Not a Module on purpose: nobody trains or saves it."""

    def __init__(
        self, model: Llama, name: str = "llama", bos: int | None = None, eos: tuple[int, ...] = ()
    ) -> None:
        self.model = model.eval().requires_grad_(False)
        if self.device.type == "cpu" and self.dtype == torch.float32:
            pack(model)
        self._read_few: Callable[..., tuple[Tensor, Tensor | None]] = self.model.read
        self._rounding = 1
        config = model.config
        self.spec = TargetSpec(
            name, config.vocabulary, config.width, config.layers, config.context, bos, eos
        )

    @classmethod
    def open(
        cls,
        path: str | Path,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> LlamaTarget:
        """A Hugging Face folder or a llama2.c .bin; UserError if it is neither."""
        checkpoint = open_checkpoint(path)
        model = load_llama(checkpoint, dtype, device)
        return cls(model, checkpoint.name, checkpoint.bos, checkpoint.eos)

    @property
    def device(self) -> torch.device:
        return self.model.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.model.norm.weight.dtype

    def compile(self) -> None:
        """From now on passes of a few tokens behind a cache run compiled; each new shape of them
        takes a while the first time, so caches get a rounded size."""
        self._read_few = torch.compile(self.model.read, dynamic=False)
        self._rounding = 64

    def allocate(self, rows: int, room: int) -> Cache:
        config = self.model.config
        if room > config.context:
            raise UserError(
                f"{room} positions are needed, but {self.spec.name} has a context of "
                f"{config.context}: shorten the prompt or lower max_new_tokens"
            )
        room = min(-(-room // self._rounding) * self._rounding, config.context)
        return StaticCache(
            config.layers, rows, config.kv_heads, room, config.head_width, self.dtype, self.device
        )

    def read(
        self, tokens_BP: Tensor, cache: Cache | None = None, taps: tuple[int, ...] = ()
    ) -> Reading:
        assert cache is None or isinstance(cache, StaticCache)
        few = cache is not None and tokens_BP.shape[1] <= FEW
        read = self._read_few if few else self.model.read
        return Reading(*read(tokens_BP, cache, taps))

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.model.embedding.weight)

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        return self.model.unembed(hidden_nD)


def pack(model: nn.Module) -> None:
    """Lay the matrices out by columns, without changing their shape.

    float32 products of two to eight rows, which is what verification reads, were seen to run two to
    three times as fast that way on a CPU (160 x 864, 4 rows: 6 against 19 microseconds).
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):  # a tied embedding is the head
            module.weight.data = module.weight.data.t().contiguous().t()
