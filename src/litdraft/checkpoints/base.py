"""What every reader of a checkpoint format offers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from torch import Tensor

from litdraft.networks.llama import LlamaConfig


class Part(NamedTuple):
    """Some rows and columns of one entry of Llama's state, in the file's own dtype, mapped from the
    file; a quantized file's are dequantized to float32, one part at a time."""

    state: str
    first_row: int
    values: Tensor
    first_column: int = 0

    @property
    def place(self) -> tuple[slice, ...]:
        """What it fills of the entry."""
        starts = (self.first_row, self.first_column)
        sizes = self.values.shape  # a norm has no columns
        return tuple(slice(at, at + size) for at, size in zip(starts, sizes, strict=False))


class Checkpoint(Protocol):
    """A Llama on disk, opened and checked by its headers; its weights are still unread."""

    @property
    def name(self) -> str: ...

    @property
    def config(self) -> LlamaConfig: ...

    @property
    def bos(self) -> int | None: ...

    @property
    def eos(self) -> tuple[int, ...]: ...

    def parts(self) -> Iterator[Part]:
        """Everything that Llama's state needs, one tensor at a time.

        A part is valid until the next one is asked for.
        """
