"""The wheel in an empty environment, and its command in an empty folder."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


def run(folder: Path, *words: str | Path) -> str:
    """What a command prints; no source tree is on its path."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        list(map(str, words)), cwd=folder, capture_output=True, text=True, check=False,
        timeout=280, env={**environment, "COLUMNS": "120", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bin/ of an environment that holds the wheel alone; what it depends on is borrowed from
    this one, which its own litdraft does not come from."""
    folder = tmp_path_factory.mktemp("wheel")
    run(ROOT, sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder / "dist")
    venv.create(folder / "env", with_pip=False)
    python = folder / "env" / "bin" / "python"
    (wheel,) = (folder / "dist").glob("*.whl")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    install = ["install", "-q", "--no-deps", "--no-index"]
    run(folder, *pip, "--python", python, *install, wheel)
    borrowed = Path(sysconfig.get_path("purelib"))
    (own,) = (folder / "env" / "lib").glob("*/site-packages")
    (own / "borrowed.pth").write_text(f"{borrowed}\n", encoding="utf-8")
    where = run(folder, python, "-c", "import litdraft; print(litdraft.__file__)")
    assert where.startswith(str(folder)), where
    return python.parent


def test_the_command_trains_and_evaluates(installed: Path, tmp_path: Path) -> None:
    litdraft = installed / "litdraft"
    assert run(tmp_path, litdraft, "--version").startswith("litdraft 0.")
    assert "train" in run(tmp_path, litdraft, "--help")
    assert "data.path" in run(tmp_path, litdraft, "train", "data=text", "--help")
    words = ["drafter=lstm", "k=3", "trainer.max_steps=20", "data.samples=64",
             "name=first"]  # fmt: skip
    assert "litdraft evaluate run=outputs/first" in run(tmp_path, litdraft, "train", *words)
    words = ["run=outputs/first", "prompts=2", "max_new_tokens=16"]
    assert "times as fast" in run(tmp_path, litdraft, "evaluate", *words)
    printed = run(tmp_path, installed / "python", ROOT / "examples" / "read_report.py",
                  "outputs/first")  # fmt: skip
    assert "lstm for tiny" in printed


@pytest.mark.parametrize("name", ["generate", "stream", "own_drafter", "compare_drafters"])
def test_an_example_runs_against_the_wheel(name: str, installed: Path, tmp_path: Path) -> None:
    assert run(tmp_path, installed / "python", ROOT / "examples" / f"{name}.py")
