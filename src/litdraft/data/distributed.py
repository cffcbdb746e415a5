"""Data work that several processes share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from litdraft.errors import UserError


def _no_barrier() -> None:
    return None


def _identity(value: Any) -> Any:
    return value


@dataclass(frozen=True)
class Distributed:
    """This process among `world` processes. `barrier` waits for all of them; `broadcast` returns
    the first process's value in all of them. The default is a single process."""

    rank: int = 0
    world: int = 1
    barrier: Callable[[], None] = _no_barrier
    broadcast: Callable[[Any], Any] = _identity

    def owns(self, index: int) -> bool:
        """Whether this process does the piece of work with this index."""
        return index % self.world == self.rank

    def run_once(self, action: Callable[[], None]) -> None:
        """Run `action` in the first process while the others wait. A UserError in it is raised in
        all processes."""
        message = None
        if self.rank == 0:
            try:
                action()
            except UserError as error:
                message = str(error)
        message = self.broadcast(message)
        if message is not None:
            raise UserError(message)
