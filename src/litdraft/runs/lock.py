"""One training at a time in a run folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from lightning.pytorch.utilities import rank_zero_only

from litdraft.errors import UserError

GONE = 10.0  # seconds in which the loaders of a process that was killed go after it


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """While this lasts, `folder` is this process's and that of those it started on other devices.
    A process that dies lets go of it. UserError if another one trains there."""
    if getattr(rank_zero_only, "rank", 0):
        yield
        return
    notes = folder / ".hydra"  # which is there before a run begins, and stays
    notes.mkdir(parents=True, exist_ok=True)
    lock = FileLock(notes / "lock")
    try:
        lock.acquire(timeout=GONE)
    except Timeout:
        raise UserError(
            f"another process is training in {folder}: wait until it ends, or give name=... to "
            "start beside it"
        ) from None
    try:
        yield
    finally:
        lock.release()
