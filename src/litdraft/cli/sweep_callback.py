"""What Hydra calls when a sweep begins and ends."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig

from litdraft.config.checks import is_evaluated
from litdraft.io import shortest
from litdraft.runs.status import ERROR, JobStatus, job_status


class SweepTable(Callback):
    """Prints what is done already; in the end reads what every job left in its folder, whichever
    process it ran in. A failed job is a row that gives the reason."""

    failures = 0  # of the last sweep: the exit status

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        from litdraft.sweeps.results import jobs

        if "resume" not in config:  # of evaluations, which always run
            return
        for job in jobs(Path(config.hydra.sweep.dir)):
            status = job_status(job, is_evaluated(config, sweeping=True))
            if status is not JobStatus.NEW:
                print(f"{job.name}: {status.value}")

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        from litdraft.sweeps.ranking import ranked
        from litdraft.sweeps.results import read_rows
        from litdraft.sweeps.summary import summarize

        folder = shortest(Path(config.hydra.sweep.dir))
        SweepTable.failures = len(list(folder.glob(f"*/{ERROR}")))
        rows = ranked(read_rows(folder))
        if not rows:
            return
        if "ray" in sys.modules:
            sys.modules["ray"].shutdown()  # or its jobs' last lines come after the decision
        summarize(rows, folder)
        if config.get("logger") is not None:
            _log(config, rows, folder)


def _log(config: DictConfig, rows: list[Any], folder: Path) -> None:
    """The table to the tracker that the jobs wrote to, as a run of its own beside theirs."""
    from litdraft.config.groups import build
    from litdraft.sweeps.tracker import close_wandb, join_group, log_table

    join_group(folder)
    log_table(build(config.logger, save_dir=str(folder), name=folder.name), rows)
    close_wandb()
