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
from litdraft.cli.sweep_callback import SweepTable
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
    return _run("train", _train, config)


def evaluate_task(config: DictConfig) -> float:
    """What Hydra runs for `litdraft evaluate`."""
    return _run("evaluate", _evaluate, config)


TASKS = {"train": train_task, "evaluate": evaluate_task}


def complete_config(command: str, config: DictConfig, words: list[str]) -> DictConfig:
    """The config of one job, its run's values restored, every value checked."""
    return checked(restored(config, words) if command == "evaluate" else config)


def _train(config: DictConfig, folder: Path) -> float:
    from litdraft.cli.training_job import train_and_evaluate

    silence_libraries()  # again: importing Lightning sets its own levels
    return train_and_evaluate(config, folder)


def _evaluate(config: DictConfig, folder: Path) -> float:
    from litdraft.cli.evaluation_job import evaluate

    silence_libraries()
    return evaluate(config, folder)


def _run(command: str, job: Job, config: DictConfig) -> float:
    """One job in the folder that Hydra chose. A UserError is one sentence and exit status 2.

    A job of a sweep writes its error into its folder instead and returns nan, so that the others
    continue.
    """
    hydra = HydraConfig.get()
    silence_libraries()
    if hydra.mode == RunMode.MULTIRUN:
        return _one_of_many(command, job, config, hydra)
    try:
        return job(config, shortest(Path(hydra.runtime.output_dir)))
    except UserError as error:
        fail(error)


def _one_of_many(command: str, job: Job, config: DictConfig, hydra: HydraConf) -> float:
    """A sweep's job, perhaps in a process that has not seen the command line."""
    from litdraft.sweeps.tracker import close_wandb, join_group

    register()
    os.chdir(hydra.runtime.cwd)
    words = list(hydra.overrides.task)
    # The job's own command, which its report will carry.
    sys.argv = ["litdraft", command, *words, "hydra.mode=RUN"]
    join_group(Path(hydra.sweep.dir))
    folder = shortest(Path(hydra.runtime.output_dir))
    (folder / ERROR).unlink(missing_ok=True)
    try:
        _refuse_relaunch(hydra, config)
        return job(complete_config(command, config, words), folder)
    except Exception as error:
        _record(folder, error)
        if "optuna" in str(hydra.sweeper.get("_target_")):
            raise  # a failed trial to Optuna, which does not take nan
        return float("nan")
    finally:
        close_wandb()


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
