"""One training at a time in a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from litdraft.errors import UserError

PATIENCE = 10.0  # seconds in which the data loaders of a killed process end, too


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other trainings out of `folder`; the processes that this one starts on other devices may
    enter. A process that dies gives it up. UserError if another one trains there."""
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    notes = folder / ".hydra"  # which is there before a run begins, and stays
    notes.mkdir(parents=True, exist_ok=True)
    lock = FileLock(notes / "lock")
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise UserError(
            f"another process is training in {folder}: wait until it ends, or give name=... to "
            "start another run beside it"
        ) from None
    try:
        yield
    finally:
        lock.release()
