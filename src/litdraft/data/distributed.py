"""Work on data that several processes do together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from litdraft.errors import UserError


def _alone() -> None:
    return None


def _same(given: Any) -> Any:
    return given


@dataclass(frozen=True)
class Share:
    """This process's part of shared work. `barrier` waits until all have come there; `broadcast`
    gives all what the first process has."""

    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = _alone
    broadcast: Callable[[Any], Any] = _same

    def mine(self, number: int) -> bool:
        """Whether the numbered piece of work falls to this process."""
        return number % self.world == self.rank

    def once(self, act: Callable[[], None]) -> None:
        """The first process acts, the others wait; what a user did wrong, all of them raise."""
        error = None
        if self.rank == 0:
            try:
                act()
            except UserError as told:
                error = str(told)
        error = self.broadcast(error)
        if error is not None:
            raise UserError(error)
