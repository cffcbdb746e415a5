"""Weights & Biases without a question ever being asked."""

from __future__ import annotations

import netrc
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import WandbLogger


def wandb_logger(save_dir: str | Path, name: str, project: str, **options: Any) -> WandbLogger:
    """Online with a key (WANDB_API_KEY or ~/.netrc); offline otherwise, to be synced later."""
    if not has_key():
        os.environ.setdefault("WANDB_MODE", "offline")
    offline = os.environ.get("WANDB_MODE") == "offline"
    return WandbLogger(project=project, name=name, save_dir=save_dir, offline=offline, **options)


def has_key(host: str = "api.wandb.ai") -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators(host) is not None
    except (OSError, netrc.NetrcParseError):
        return False
