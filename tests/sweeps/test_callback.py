"""Sweeps end in a decision, and the same command goes on where it stopped, whoever launches it."""

from __future__ import annotations

import csv
import importlib.metadata
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from tests.cli.test_jobs import small
from tests.commands import ROOT, run, run_anew

from litdraft.cli.compose import compose
from litdraft.cli.sweep_folder import prepare_sweep
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.runs.status import JobStatus, job_status

MEASURED = ["+evaluation.prompts=2", "+evaluation.max_new_tokens=12", "probe_prompts=0"]
NAMES = {"lstm", "cnn_lm", "lookup"}


def families(little: Path, drafters: str) -> list[str]:
    """The whole sweep, in small."""
    words = [w for w in small(little) if not w.startswith(("drafter.", "probe"))]
    return ["train.py", "experiment=sweep_families", f"drafter={drafters}", *words, *MEASURED]


def plugin(distribution: str) -> None:
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed")


@pytest.fixture(scope="module")
def work(little: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the three families were swept, wandb offline beside."""
    folder = tmp_path_factory.mktemp("work")
    told = run_anew(folder, *families(little, ",".join(sorted(NAMES))), "logger=wandb")
    (folder / "told.txt").write_text(told, encoding="utf-8")
    return folder


def sweep_of(work: Path) -> Path:
    (folder,) = (work / "outputs" / "sweeps").glob("sweep_families-*")
    return folder


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / "sweep.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def times(folder: Path) -> dict[Path, int]:
    """When everything that costs time was written."""
    files = [*folder.glob("*/checkpoints/*"), *folder.glob("*/report.json")]
    return {path: path.stat().st_mtime_ns for path in files}


def test_it_ends_in_a_table_a_plot_and_a_winner(work: Path) -> None:
    folder, told = sweep_of(work), (work / "told.txt").read_text(encoding="utf-8")
    rows = table(folder)
    assert {row["drafter"] for row in rows} == NAMES
    assert [row["outcome"] for row in rows] == ["done"] * 3
    paces = [float(row["speedup"]) for row in rows]
    assert paces == sorted(paces, reverse=True)
    for row in rows:
        job = work / row["folder"]
        report = read_json(job / "report.json")
        assert report["draft_milliseconds"] > 0
        cost = f"{report['draft_milliseconds']:.3f}"
        assert f"per round | {cost} |" in (job / "report.md").read_text()
        assert row["drafting ms per round"] == cost
        assert report["command"].endswith("hydra.mode=RUN"), "its own command, not the sweep's"
        assert float(row["training seconds"]) >= 0
        assert (job / "checkpoints").exists() == (row["drafter"] != "lookup")
    assert f"Winner: {rows[0]['drafter']} decodes " in told
    assert rows[0]["folder"] in told or "litdraft evaluate drafter=lookup" in told
    assert f"the runner-up, {rows[1]['drafter']} (" in told
    assert (folder / "sweep.png").read_bytes().startswith(b"\x89PNG")
    assert "Winner: " in (folder / "sweep.md").read_text(encoding="utf-8")


def test_jobs_and_their_table_are_one_group_of_wandb_runs(work: Path) -> None:
    from wandb.proto import wandb_internal_pb2

    records: Any = wandb_internal_pb2  # made at run time, without types
    folder = sweep_of(work)
    group = records.RunRecord(run_group=folder.name).SerializeToString()
    runs = [path.read_bytes() for path in folder.glob("**/offline-run-*/*.wandb")]
    assert [group in written for written in runs] == [True] * 3, "two trainings and the table"
    assert list(folder.glob("wandb/offline-run-*/files/media/table/sweep_*.table.json"))


def test_the_same_command_does_nothing_twice(work: Path, little: Path) -> None:
    folder = sweep_of(work)
    before, rows = times(folder), table(folder)
    told = run(work, *families(little, ",".join(sorted(NAMES))))
    assert told.count("finished: skipped") == 3
    assert times(folder) == before
    assert table(folder) == rows


def test_a_killed_sweep_goes_on_where_it_stopped(little: Path, tmp_path: Path) -> None:
    """The first job is done, the second inside its training."""
    words = [*small(little), *MEASURED, "trainer.max_epochs=20", "drafter.width=8,12"]
    command = ["train.py", "-m", *words, "name=cut"]
    begun = subprocess.Popen(
        [sys.executable, str(ROOT / command[0]), *command[1:]], cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    folder, deadline = tmp_path / "outputs" / "sweeps" / "cut", time.monotonic() + 120
    while len(list(folder.glob("*/checkpoints/last.ckpt"))) < 2:
        assert begun.poll() is None, "ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begun.send_signal(signal.SIGKILL)
    begun.wait()
    ((done, *_),) = [list(path.parents) for path in folder.glob("*/report.json")]
    (cut,) = {path.parents[1] for path in folder.glob("*/checkpoints/last.ckpt")} - {done}
    before = times(done)
    told = run(tmp_path, *command)
    assert f"{done.name}: finished: skipped" in told
    assert f"{cut.name}: interrupted: resumed" in told
    assert times(done) == before
    with (cut / "metrics.csv").open(encoding="utf-8") as file:
        epochs = [int(row["epoch"]) for row in csv.DictReader(file) if row["epoch"]]
    assert min(epochs) > 0, "not from the start"
    assert [row["outcome"] for row in table(folder)] == ["done", "done"]


@pytest.mark.parametrize(
    ("distribution", "words"),
    [
        ("hydra-submitit-launcher", ["hydra/launcher=submitit_local"]),
        ("hydra-ray-launcher", ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=1",
                                "+hydra.launcher.ray.init.include_dashboard=false"]),
    ],
)  # fmt: skip
def test_jobs_that_run_elsewhere_skip_what_is_done(
    distribution: str, words: list[str], work: Path, little: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In processes that never saw the entry point. Each launcher adds a family of its own."""
    plugin(distribution)
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")  # or it writes a token into the home folder
    folder, new = sweep_of(work), "mlp" if "ray" in distribution else "matrix"
    before = times(folder)
    run_anew(work, *families(little, f"lstm,{new}"), *words)
    after = times(folder)
    assert before.items() <= after.items(), "finished jobs were left alone"
    rows = {row["drafter"]: row for row in table(folder)}
    assert rows[new]["outcome"] == "done"
    report = read_json(work / rows[new]["folder"] / "report.json")
    assert report["command"].startswith(f"litdraft train drafter={new} ") or (
        "litdraft train experiment=sweep_families" in report["command"]
    )
    assert "1 threads" in report["device"]


def test_optuna_maximizes_what_jobs_return(little: Path, tmp_path: Path) -> None:
    plugin("hydra-optuna-sweeper")
    run(
        tmp_path, "train.py", "-m", *small(little), "probe_prompts=0", "name=search",
        "hydra/sweeper=optuna", "hydra.sweeper.n_trials=2", "evaluate=false",
        "optimizer.lr=tag(log, interval(1e-4, 1e-1))",
    )  # fmt: skip
    folder = tmp_path / "outputs" / "sweeps" / "search"
    manifests = [read_json(path) for path in folder.glob("*/manifest.json")]
    scores = [manifest["val/mean_acceptance_length"] for manifest in manifests]
    found = OmegaConf.load(folder / "optimization_results.yaml")
    assert len(scores) == 2
    assert found.best_value == pytest.approx(max(scores))
    assert all(row["outcome"].startswith("trained: val/mean") for row in table(folder))


def test_how_far_a_job_has_come(tmp_path: Path) -> None:
    assert job_status(tmp_path, evaluated=True) is JobStatus.NEW
    (tmp_path / "error.txt").touch()
    assert job_status(tmp_path, evaluated=True) is JobStatus.FAILED
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "last.ckpt").touch()
    assert job_status(tmp_path, evaluated=True) is JobStatus.INTERRUPTED
    (tmp_path / "manifest.json").touch()
    assert job_status(tmp_path, evaluated=True) is JobStatus.TRAINED
    assert job_status(tmp_path, evaluated=False) is JobStatus.FINISHED
    (tmp_path / "report.json").touch()
    assert job_status(tmp_path, evaluated=True) is JobStatus.FINISHED


def folder_of(*words: str, multirun: bool = False) -> str | None:
    """The folder that a sweep is given; None if each gets a new one."""
    composed = compose("train", words, multirun=multirun)
    assert composed.sweeps
    prepare_sweep(composed.config)
    overrides = list(composed.config.hydra.overrides.hydra)
    found = [word for word in overrides if word.lstrip("+").startswith("hydra.sweep.dir=")]
    if not found:
        return None
    folder = str(composed.config.hydra.sweep.dir)
    assert found[-1] in (f"++hydra.sweep.dir='{folder}'", f"hydra.sweep.dir={folder}")
    return folder.removeprefix(f"{Path.cwd()}/")


def test_the_same_choices_have_the_same_folder() -> None:
    """What is swept over does not count: a sweep grows in its folder."""
    whole = folder_of("experiment=sweep_k")
    assert whole is not None
    assert whole.startswith("outputs/sweeps/sweep_k-")
    for same in ("hydra.sweeper.params.k=7", "logger=wandb", "evaluate=false"):
        assert folder_of("experiment=sweep_k", same) == whole, same
    assert folder_of("experiment=sweep_k", "data.samples=9") != whole
    assert folder_of("experiment=sweep_k", "name=mine") == "outputs/sweeps/mine"
    assert folder_of("k=1,2", "name=mine", multirun=True) == "outputs/sweeps/mine"
    assert folder_of("k=1,2", "hydra.sweep.dir=here", multirun=True) == "here"
    assert folder_of("k=1,2", multirun=True) is None, "a new one"
    assert not compose("train", ["k=1", "name=mine"]).sweeps


def test_jobs_of_a_named_sweep_have_their_own_names() -> None:
    config = compose("train", ["k=1,2", "name=mine"], multirun=True).config
    prepare_sweep(config)
    assert list(config.hydra.overrides.task) == ["k=1,2"]


@pytest.mark.parametrize("experiment", ["sweep_families", "sweep_k"])
def test_what_an_experiment_sweeps_exists(experiment: str) -> None:
    assert compose("train", [f"experiment={experiment}"]).sweeps


def settings(*words: str) -> list[str]:
    """Overrides of Hydra's own keys, as every job gets them."""
    config = compose("train", words, multirun=True).config
    prepare_sweep(config)
    return list(config.hydra.overrides.hydra)


def test_plugins_are_set_as_jobs_need_them() -> None:
    for distribution in ("hydra-ray-launcher", "hydra-optuna-sweeper"):
        plugin(distribution)
    both = settings("k=1,2", "hydra/sweeper=optuna", "hydra/launcher=ray")
    assert "++hydra.sweeper.direction='maximize'" in both
    assert "++hydra.launcher.ray.init.address='local'" in both
    joined = settings("hydra/launcher=ray", "hydra.launcher.ray.init.address=auto")
    assert "++hydra.launcher.ray.init.object_store_memory=null" in joined
    assert not any("address='local'" in word for word in joined)


MISTAKES = {
    "experiment=sweep_families drafter=lstm,lsmt": "did you mean lstm",
    "experiment=sweep_families hydra.sweeper.params.drafter=lsmt": "did you mean lstm",
    "hydra.sweeper.max_batch_size=1,2": "keys of Hydra's own hold for all jobs",
    "hydra/launcher=nowhere": "Could not find 'hydra/launcher/nowhere'",
    "hydra/launcher=ray": r"pip install 'litdraft\[ray\]'",
    "hydra/launcher=submitit_slurm": r"pip install 'litdraft\[slurm\]'",
    "hydra/sweeper=optuna": r"pip install 'litdraft\[optuna\]'",
}


@pytest.mark.parametrize("given, answer", MISTAKES.items())
def test_a_mistake_is_one_sentence(
    given: str, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nothing(name: str) -> None:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.distribution", nothing)
    with pytest.raises(UserError, match=answer):
        compose("train", given.split(), multirun=True)
