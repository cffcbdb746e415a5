"""Work on data that several processes do together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


def _alone() -> None:
    return None


@dataclass(frozen=True)
class Share:
    """This process's part of shared work; `barrier` waits until all have come there."""

    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = _alone

    def mine(self, number: int) -> bool:
        """Whether the numbered piece of work falls to this process."""
        return number % self.world == self.rank
