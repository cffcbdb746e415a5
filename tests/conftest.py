"""What every test starts from: no network, two threads, the same seeds."""

from __future__ import annotations

import os

# Before anything imports the libraries that read them.
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"

import random
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent

torch.set_num_threads(2)


@pytest.fixture(autouse=True)
def seeds() -> None:
    """A test's random numbers do not depend on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of trained targets and real text, outside the repository; skips without it."""
    folder = Path(os.environ.get("LITDRAFT_SHARED") or ROOT.parent / "shared").resolve()
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder} (set LITDRAFT_SHARED)")
    return folder
