"""How train.py and evaluate.py start, and how they end when something is wrong."""

from __future__ import annotations

import logging
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

from litdraft.config.preflight import check_overrides
from litdraft.config.restore import with_choices
from litdraft.config.schema import checked, register
from litdraft.config.sweep import ERROR, SweepTable
from litdraft.errors import UserError
from litdraft.models.files import replacing

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
    folder = relative(Path(hydra.runtime.output_dir))
    sweeping = hydra.mode == RunMode.MULTIRUN
    try:
        if sweeping:
            _refuse_relaunch(hydra, config)
        return job(checked(config), folder)
    except UserError as error:
        if not sweeping:
            fail(error)
        return _left(folder, str(error))
    except Exception as error:
        if not sweeping:
            raise
        return _left(folder, f"{type(error).__name__}: {error}\n\n{traceback.format_exc()}")


def _refuse_relaunch(hydra: HydraConf, config: DictConfig) -> None:
    """Lightning's children run the command line again, and with -m that is the whole sweep."""
    if config.devices > 1 and "BasicLauncher" in str(hydra.launcher.get("_target_")):
        raise UserError(
            f"a sweep with devices={config.devices} would start itself again in every child: use "
            "devices=1, or a launcher plugin that gives each job its devices"
        )


def _left(folder: Path, error: str) -> float:
    with replacing(folder / ERROR) as path:
        path.write_text(error + "\n", encoding="utf-8")
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"[bold red]failed:[/] {folder}: {error.splitlines()[0]}"
    )
    return float("nan")


def exit_code() -> int:
    """1 if a job of the sweep that has just ended failed."""
    return int(SweepTable.failures > 0)


def relative(path: Path) -> Path:
    """As one would type it from here."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def fail(error: UserError) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {error}")
    sys.exit(2)


def quiet() -> None:
    """Silence what a user can do nothing about."""
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    for message in (
        ".*does not have many workers.*",
        ".*Experiment logs directory.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*GPU available but not used.*",
        ".*LeafSpec.*",
        ".*smaller than the logging interval.*",
    ):
        warnings.filterwarnings("ignore", message)
