"""What every checkpoint reader offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor

from litdraft.networks.llama import LlamaConfig


class Part(NamedTuple):
    """Some rows and columns of one entry of a network's state, in the file's own dtype and mapped
    from the file; from a quantized file, dequantized to float32."""

    state: str
    first_row: int
    values: Tensor
    first_column: int = 0

    @property
    def where(self) -> tuple[slice, ...]:
        """The part of the entry that it fills."""
        starts = (self.first_row, self.first_column)
        sizes = self.values.shape  # a norm has rows only
        return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=False))


class Checkpoint(Protocol):
    """A Llama on disk; its headers are read and checked, its weights not yet read."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> LlamaConfig: ...

    @property
    def bos(self) -> int | None: ...

    @property
    def eos(self) -> tuple[int, ...]: ...

    def parts(self) -> Iterator[Part]:
        """All of Llama's state, one tensor at a time. A part is valid until the next one is
        read."""
