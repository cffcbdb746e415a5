"""The examples run, each in a process and a folder of its own, and print what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples"
ALONE = {**os.environ, "OMP_NUM_THREADS": "1"}
PRINTED = {
    "generate": "tokens per round",
    "stream": "the target ran",
    "own_drafter": "predicted by replay",
    "compare_drafters": "0 mismatches",
}


def run(folder: Path, name: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *words],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
        env=ALONE,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_each_example_has_a_test() -> None:
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {*PRINTED, "read_report"}


@pytest.mark.parametrize("name", PRINTED)
def test_an_example_runs(name: str, tmp_path: Path) -> None:
    assert PRINTED[name] in run(tmp_path, name)


def test_a_report_is_read(tmp_path: Path) -> None:
    words = ["drafter=lookup", "prompts=2", "max_new_tokens=16", "name=lookup"]
    subprocess.run(
        [sys.executable, str(ROOT / "evaluate.py"), *words],
        cwd=tmp_path, check=True, capture_output=True, timeout=240, env=ALONE,
    )  # fmt: skip
    assert "times as fast" in run(tmp_path, "read_report", "outputs/lookup")
