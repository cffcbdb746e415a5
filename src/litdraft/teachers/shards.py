"""Large data in files of similar size: planning them, and checking the disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from safetensors import SafetensorError, safe_open
from torch import Tensor

from litdraft.errors import UserError


def plan_shards(positions_B: Tensor, per_token: float, size: int) -> list[tuple[int, int]]:
    """Ranges of rows [a, b), each of about `size` bytes."""
    shards, first, tokens = [], 0, 0
    most = max(size / max(per_token, 1e-9), 1)
    for row, size in enumerate(positions_B.tolist()):
        tokens += size
        if tokens >= most:
            shards.append((first, row + 1))
            first, tokens = row + 1, 0
    if first < len(positions_B):
        shards.append((first, len(positions_B)))
    return shards


def is_complete(path: Path) -> bool:
    """Whether a shard exists in full; its header gives its length."""
    try:
        with safe_open(path, framework="pt"):
            return True
    except (OSError, SafetensorError):
        return False


def prefetch(paths: Sequence[Path]) -> None:
    """Ask the system to read the files ahead, so that no batch waits for the disk; only if all of
    them take less than half of the memory."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    paths = [path for path in paths if path.exists()]  # another process may still be writing
    if not hasattr(os, "posix_fadvise") or 2 * sum(p.stat().st_size for p in paths) > memory:
        return
    for path in paths:
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)


def announce(folder: Path, size: float, left: float, positions: int) -> None:
    """Print how much will be written, and where."""
    free, each = shutil.disk_usage(folder).free, size / max(positions, 1)
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"teacher cache: {readable_size(size)} ({positions:,} positions of {each:,.0f} "
        f"bytes), {readable_size(left)} to write, {readable_size(free)} free; {folder}"
    )


def check_disk_space(folder: Path, left: float) -> None:
    """UserError if the disk has too little free space."""
    folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(folder).free
    if left > free:
        raise UserError(
            f"{folder} has {readable_size(free)} free, but the teacher cache needs "
            f"{readable_size(left)}: use teacher=online, teacher.dtype=int8, fewer data.samples, "
            "or another data.cache"
        )


def readable_size(size: float) -> str:
    """Bytes with a unit, for people."""
    for unit in ("bytes", "KB", "MB", "GB"):
        if size < 1000:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"
