"""A run folder's config is foreign input."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from litdraft.errors import UserError
from litdraft.runs.saved import saved_choices, saved_config

LSTM = {"_target_": "litdraft.drafters.lstm.LSTM", "width": 8}


def run_with(folder: Path, drafter: object) -> Path:
    (folder / ".hydra").mkdir(parents=True)
    config = {"target": None, "drafter": drafter, "data": None}
    OmegaConf.save(OmegaConf.create(config), folder / ".hydra" / "config.yaml")
    return folder


def test_a_config_of_objects_that_conf_names_is_returned(tmp_path: Path) -> None:
    assert saved_config(run_with(tmp_path / "run", LSTM), "run=run").drafter.width == 8


@pytest.mark.parametrize(
    "drafter",
    [
        {"_target_": "litdraft.models.drafters.LSTM"},
        {"_target_": "os.system", "command": "true"},
        {**LSTM, "width": {"_target_": "os.getpid"}},
        {**LSTM, "width": [1, {"_target_": "os.getpid"}]},
    ],
)
def test_any_other_object_is_refused(drafter: object, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="made by an earlier version, train it again"):
        saved_config(run_with(tmp_path / "run", drafter), "run=run")


def test_an_object_of_the_users_own_folder_is_known(tmp_path: Path) -> None:
    own = tmp_path / "own" / "drafter"
    own.mkdir(parents=True)
    (own / "mine.yaml").write_text("_target_: mine.Drafter\n", encoding="utf-8")
    run = run_with(tmp_path / "run", {"_target_": "mine.Drafter"})
    assert saved_config(run, "run=run", [own.parent]).drafter._target_ == "mine.Drafter"


def test_another_folder_is_no_run(tmp_path: Path) -> None:
    for read in (saved_config, saved_choices):
        with pytest.raises(UserError, match="run=x is not the folder of a training run"):
            read(tmp_path, "run=x")
