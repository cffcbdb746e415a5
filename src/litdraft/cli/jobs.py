"""The jobs of both commands, alone or in a sweep: checked, run, and their errors kept."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from litdraft.cli.main import fail
from litdraft.cli.sweep_callback import GROUP, SweepTable, close_tracker
from litdraft.cli.terminal import complain
from litdraft.config.checks import checked
from litdraft.config.resolvers import register
from litdraft.errors import UserError
from litdraft.io import replacing, shortest
from litdraft.quiet import silence_libraries
from litdraft.runs.restore import restored
from litdraft.runs.status import ERROR

Job = Callable[[DictConfig, Path], float]


def train_task(config: DictConfig) -> float:
    """What Hydra runs for `litdraft train`, in this process or in a launcher's."""
    return run_job(_train, config)


def evaluate_task(config: DictConfig) -> float:
    """What Hydra runs for `litdraft evaluate`."""
    return run_job(_evaluate, restored(config, list(HydraConfig.get().overrides.task)))


TASKS: dict[str, Callable[[DictConfig], float]] = {
    "train": train_task,
    "evaluate": evaluate_task,
}


def _train(config: DictConfig, folder: Path) -> float:
    from litdraft.cli.training_job import train_and_evaluate

    return train_and_evaluate(config, folder)


def _evaluate(config: DictConfig, folder: Path) -> float:
    if config.study is not None:
        from litdraft.config.study import study

        return study(config, folder)
    from litdraft.config.evaluation import evaluate

    return evaluate(config, folder)


def run_job(job: Job, config: DictConfig) -> float:
    """One job in the folder Hydra chose. A user's error is one sentence and exit status 2.

    A job of a sweep leaves its error in its folder instead and returns nan, so that the others
    continue.
    """
    hydra = HydraConfig.get()
    silence_libraries()
    if hydra.mode == RunMode.MULTIRUN:
        return _one_of_many(job, config, hydra)
    try:
        return job(checked(config), shortest(Path(hydra.runtime.output_dir)))
    except UserError as error:
        fail(error)


def _one_of_many(job: Job, config: DictConfig, hydra: HydraConf) -> float:
    """A sweep's job, perhaps in a process that has not seen the command line."""
    register()
    os.chdir(hydra.runtime.cwd)
    # The job's own command, which its report will carry.
    sys.argv = [f"{hydra.job.name}.py", *hydra.overrides.task, "hydra.mode=RUN"]
    os.environ.setdefault(GROUP, Path(hydra.sweep.dir).name)
    folder = shortest(Path(hydra.runtime.output_dir))
    (folder / ERROR).unlink(missing_ok=True)
    try:
        _refuse_relaunch(hydra, config)
        return job(checked(config), folder)
    except Exception as error:
        _record(folder, error)
        if "optuna" in str(hydra.sweeper.get("_target_")):
            raise  # a failed trial, as Optuna has it: nan it would not take
        return float("nan")
    finally:
        close_tracker()


def _refuse_relaunch(hydra: Any, config: DictConfig) -> None:
    """Lightning's children run the command line again: with -m that is the whole sweep, and in a
    launcher's process it is the launcher's own."""
    slurm = "SlurmLauncher" in str(hydra.launcher.get("_target_"))
    if config.devices > 1 and not (slurm and hydra.launcher.tasks_per_node == config.devices):
        raise UserError(
            f"a sweep with devices={config.devices} would start itself again in every child: use "
            "devices=1, or hydra/launcher=submitit_slurm with "
            f"hydra.launcher.tasks_per_node={config.devices}"
        )


def _record(folder: Path, error: Exception) -> None:
    """Why a job failed, in its folder and in one line on the terminal."""
    message = str(error)
    if not isinstance(error, UserError):
        message = f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}"
    with replacing(folder / ERROR) as path:
        path.write_text(message + "\n", encoding="utf-8")
    complain("failed", f"{folder}: {message.splitlines()[0]}")


def failures() -> int:
    """How many jobs of the sweep that has just ended failed."""
    return SweepTable.failures
