"""Loggers by name; one that is not installed names its extra."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from litdraft.errors import UserError
from litdraft.training.loggers import csv_logger, tensorboard_logger, wandb_logger

MISSING: dict[str, tuple[Callable[..., Any], dict[str, str]]] = {
    "wandb": (wandb_logger, {"project": "p"}),
    "tensorboard": (tensorboard_logger, {"folder": "f"}),
}


@pytest.mark.parametrize("extra", MISSING)
def test_a_missing_package_is_one_sentence(
    extra: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    make, options = MISSING[extra]
    with pytest.raises(UserError, match=rf"logger={extra} .*pip install 'litdraft\[{extra}\]'"):
        make(save_dir=tmp_path, name="run", **options)


def test_a_second_table_of_metrics(tmp_path: Path) -> None:
    logger = csv_logger(tmp_path, "run", str(tmp_path / "all"))
    logger.log_metrics({"loss": 1.0}, step=0)
    logger.save()
    assert len(list((tmp_path / "all" / "run").glob("version_0/metrics.csv"))) == 1
