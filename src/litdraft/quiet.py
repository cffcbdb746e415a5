"""Silencing what other libraries print and a user can do nothing about."""

from __future__ import annotations

import logging
import warnings


def silence_libraries() -> None:
    """Silence what a user can do nothing about."""
    for name in (
        "lightning.pytorch",
        "lightning.fabric",
        "alembic",
    ):  # Optuna's database brings the second
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
        ".*ipywidgets.*",  # in a notebook bars are text
    ):
        warnings.filterwarnings("ignore", message)
