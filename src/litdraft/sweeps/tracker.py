"""A sweep in Weights & Biases: its jobs in one group, its table as a run of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from litdraft.sweeps.ranking import ENDS, SweepRow, columns, figures

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

GROUP = "WANDB_RUN_GROUP"  # read by wandb itself


def join_group(sweep: Path) -> None:
    """Let runs of this process, from now on, belong to the sweep's group."""
    os.environ.setdefault(GROUP, sweep.name)


def log_table(logger: Logger, rows: Sequence[SweepRow]) -> None:
    """The sweep's table, numbers as numbers; nothing if the logger keeps no tables."""
    from lightning.pytorch.loggers import WandbLogger

    if not isinstance(logger, WandbLogger):
        return
    cells = [figures(row) for row in rows]
    head, words = columns(cells), {*ENDS, *(key for row in rows for key in row.asked)}
    data = [
        [float(cell[c]) if cell.get(c) and c not in words else cell.get(c) or None for c in head]
        for cell in cells
    ]
    logger.log_table("sweep", columns=head, data=data)


def close_wandb() -> None:
    """Wandb keeps a run open, and what comes next in this process would be written into it."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()
