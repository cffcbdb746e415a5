"""How train.py and evaluate.py start, and how they end when something is wrong."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from rich.console import Console

from litdraft.config.preflight import check_overrides
from litdraft.config.schema import checked, register
from litdraft.errors import UserError

Job = Callable[[DictConfig, Path], float]


def prepared(conf: Path, root: str) -> None:
    """Before Hydra: schemas known, a typo answered, libraries quiet. Exits with 2 on a typo."""
    register()
    quiet()
    try:
        check_overrides(conf, root, sys.argv[1:])
    except UserError as error:
        fail(error)


def run_job(job: Job, config: DictConfig) -> float:
    """One job in the folder Hydra chose. A user's error is one sentence and exit status 2."""
    hydra = HydraConfig.get()
    try:
        return job(checked(config), Path(hydra.runtime.output_dir))
    except UserError as error:
        if hydra.mode == RunMode.MULTIRUN:
            raise
        fail(error)


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
    ):
        warnings.filterwarnings("ignore", message)
