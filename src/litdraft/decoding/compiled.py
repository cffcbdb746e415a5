"""An act of decoding, compiled once a shape."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch._dynamo.utils import counters

SHAPES = 256  # graphs of one act: row counts, cache capacities and sampling all make their own


class Compiled:
    """`act` through torch.compile: the same body, fewer and larger operations; on a GPU one CUDA
    graph (what it returns is then overwritten by the next call).

    Each new shape of its arguments is compiled when it is first seen; torch keeps what it built on
    disk for later runs. `seconds` sums what calls of all acts took that built something.
    """

    seconds: ClassVar[float] = 0.0

    def __init__(self, act: Callable[..., Any], device: torch.device) -> None:
        torch._dynamo.config.recompile_limit = SHAPES
        torch._dynamo.config.accumulated_recompile_limit = SHAPES
        mode = "reduce-overhead" if device.type == "cuda" else None
        self._act = torch.compile(act, dynamic=False, mode=mode)

    def __call__(self, *arguments: Any) -> Any:
        built, started = counters["stats"]["unique_graphs"], time.perf_counter()
        result = self._act(*arguments)
        if counters["stats"]["unique_graphs"] != built:
            Compiled.seconds += time.perf_counter() - started
        return result


def keep_addresses(tree: Any) -> None:
    """Promise that the tensors of a state keep their addresses: CUDA graphs may write into them."""
    if isinstance(tree, torch.Tensor):
        if tree.is_cuda:
            torch._dynamo.mark_static_address(tree)
    elif isinstance(tree, list | tuple):
        for part in tree:
            keep_addresses(part)
    elif hasattr(tree, "__dict__"):
        keep_addresses(list(vars(tree).values()))
