"""An act of decoding, compiled once a shape."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch


class Compiled:
    """`act` through torch.compile: the same body, fewer and larger operations.

    Each new shape of its arguments is compiled when it is first seen; torch keeps what it built on
    disk for later runs. `seconds` is what calls took that built something.
    """

    def __init__(self, act: Callable[..., Any]) -> None:
        self._act = torch.compile(act, dynamic=False)
        self.seconds = 0.0

    def __call__(self, *arguments: Any) -> Any:
        built = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        started = time.perf_counter()
        told = self._act(*arguments)
        if torch._dynamo.utils.counters["stats"]["unique_graphs"] != built:
            self.seconds += time.perf_counter() - started
        return told
