"""What drafting costs: the drafter's part of a round."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch

from litdraft.decoding.speculate import Speculate
from litdraft.protocols import Drafter, Target
from litdraft.sampling import Sampling

TURNS = 3  # the first one warms up


class Clocked:
    """A drafter whose calls are timed one by one, each until the device has finished it.

    Everything else is the drafter's. `seconds` holds one number for each round.
    """

    def __init__(self, drafter: Drafter, device: torch.device) -> None:
        self._drafter, self._device = drafter, device
        self.seconds: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._drafter, name)

    def propose(self, *given: Any) -> Any:
        self.seconds.append(0.0)
        return self._timed(self._drafter.propose, given)

    def observe(self, *given: Any) -> None:
        if self.seconds:
            self._timed(self._drafter.observe, given)
        else:  # the prompt, which belongs to no round
            self._drafter.observe(*given)

    def _timed(self, call: Callable[..., Any], given: tuple[Any, ...]) -> Any:
        started = self._now()
        result = call(*given)
        self.seconds[-1] += self._now() - started
        return result

    def _now(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def draft_milliseconds(
    target: Target,
    drafter: Drafter,
    k: int,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling,
) -> float | None:
    """Milliseconds that `propose` and `observe` take in a round, over one batch of prompts: the
    median of all rounds; None if there was no round.

    Measured in separate runs, so that the timed runs never wait for single calls. Here the calls
    are eager: if decoding was compiled, the real share of a round is smaller.
    """
    seconds: list[float] = []
    for turn in range(TURNS):
        clocked = Clocked(drafter, target.device)
        loop = Speculate(target, cast(Drafter, clocked), k, sampling)
        loop.generate(prompts, max_new_tokens)
        if turn > 0:
            seconds += clocked.seconds
    return 1e3 * statistics.median(seconds) if seconds else None
