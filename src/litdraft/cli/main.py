"""How train.py and evaluate.py start, and how they end when something is wrong."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console
from rich.markup import escape

from litdraft.cli.sweep_folder import settled
from litdraft.config.overrides import check_overrides
from litdraft.config.schema import checked, register
from litdraft.errors import UserError
from litdraft.io import replacing
from litdraft.runs.restore import with_choices
from litdraft.runs.status import ERROR
from litdraft.sweeps.callback import GROUP, SweepTable, close_tracker, shortest

Job = Callable[[DictConfig, Path], float]


def prepared(conf: Path, root: str) -> None:
    """Before Hydra: schemas known, a run's choices restored, a typo answered with status 2."""
    register()
    quiet()
    try:
        if root == "evaluate":
            sys.argv[1:] = with_choices(sys.argv[1:])
        sys.argv[1:] = [without(argument, conf) for argument in sys.argv[1:]]
        check_overrides(conf, root, sys.argv[1:])
        sys.argv[1:] = settled(conf, root, sys.argv[1:])
    except UserError as error:
        fail(error)


def without(argument: str, conf: Path) -> str:
    """GROUP=null empties a group; Hydra spells that ~GROUP."""
    group, _, choice = argument.partition("=")
    return f"~{group}" if choice == "null" and (conf / group).is_dir() else argument


def run_job(job: Job, config: DictConfig) -> float:
    """One job in the folder Hydra chose. A user's error is one sentence and exit status 2.

    A job of a sweep leaves its error in its folder instead and returns nan, so that the others
    go on.
    """
    hydra = HydraConfig.get()
    if hydra.mode == RunMode.MULTIRUN:
        return _one_of_many(job, config, hydra)
    try:
        return job(checked(config), shortest(Path(hydra.runtime.output_dir)))
    except UserError as error:
        fail(error)


def _one_of_many(job: Job, config: DictConfig, hydra: HydraConf) -> float:
    """A sweep's job, perhaps in a process that has not seen the command line."""
    quiet()
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
        _leave(folder, error)
        if "optuna" in str(hydra.sweeper.get("_target_")):
            raise  # a failed trial, as Optuna has it: nan it would not take
        return float("nan")
    finally:
        close_tracker()


def _refuse_relaunch(hydra: HydraConf, config: DictConfig) -> None:
    """Lightning's children run the command line again: with -m that is the whole sweep, and in a
    launcher's process it is the launcher's own."""
    slurm = "SlurmLauncher" in str(hydra.launcher.get("_target_"))
    if config.devices > 1 and not (slurm and hydra.launcher.tasks_per_node == config.devices):
        raise UserError(
            f"a sweep with devices={config.devices} would start itself again in every child: use "
            "devices=1, or hydra/launcher=submitit_slurm with "
            f"hydra.launcher.tasks_per_node={config.devices}"
        )


def _leave(folder: Path, error: Exception) -> None:
    """Why a job failed, in its folder and in one line on the terminal."""
    told = str(error)
    if not isinstance(error, UserError):
        told = f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}"
    with replacing(folder / ERROR) as path:
        path.write_text(told + "\n", encoding="utf-8")
    _complain("failed", f"{folder}: {told.splitlines()[0]}")


def exit_code() -> int:
    """1 if a job of the sweep that has just ended failed."""
    return int(SweepTable.failures > 0)


def fail(error: UserError) -> NoReturn:
    _complain("error", str(error))
    sys.exit(2)


def _complain(what: str, told: str) -> None:
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    console.print(f"[bold red]{what}:[/] {escape(told)}")


def quiet() -> None:
    """Silence what a user can do nothing about."""
    for name in ("lightning.pytorch", "alembic"):  # Optuna's database brings the second
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in ("torchao", "torch.utils._pytree"):  # kernels for GPUs that are not there
        logging.getLogger(name).setLevel(logging.ERROR)
    for message in (
        ".*does not have many workers.*",
        ".*Experiment logs directory.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*GPU available but not used.*",
        ".*LeafSpec.*",
        ".*smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message)
