"""Loggers beside metrics.csv, chosen by name: logger=wandb, tensorboard or csv."""

from __future__ import annotations

import importlib.util
import netrc
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import CSVLogger, Logger, TensorBoardLogger, WandbLogger

from litdraft.errors import UserError


def wandb_logger(save_dir: str | Path, name: str, project: str, **options: Any) -> Logger:
    """Online with a key (WANDB_API_KEY or ~/.netrc); offline otherwise, to be synced later."""
    _check_installed("wandb", "wandb")
    if not has_wandb_key():
        os.environ.setdefault("WANDB_MODE", "offline")
    offline = os.environ.get("WANDB_MODE") == "offline"
    return WandbLogger(project=project, name=name, save_dir=save_dir, offline=offline, **options)


def has_wandb_key(host: str = "api.wandb.ai") -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False


def tensorboard_logger(save_dir: str | Path, name: str, folder: str) -> Logger:
    """Event files of the run `name` in `folder`, which tensorboard --logdir compares."""
    if not _installed("tensorboardX"):
        _check_installed("tensorboard", "tensorboard")
    return TensorBoardLogger(folder, name=name, version="")


def csv_logger(save_dir: str | Path, name: str, folder: str) -> Logger:
    """A second metrics.csv, in `folder`/`name`/version_N: one that no resumed run renames."""
    return CSVLogger(folder, name=name)


def _check_installed(module: str, extra: str) -> None:
    if not _installed(module):
        raise UserError(
            f"logger={extra} needs the package {module}, which is not installed: "
            f"pip install 'litdraft[{extra}]'"
        )


def _installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
