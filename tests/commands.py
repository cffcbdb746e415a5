"""Commands as a user types them, each in a folder and a process of its own."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 240  # seconds
ALONE = {"OMP_NUM_THREADS": "1", "COLUMNS": "160"}

# To import what every command needs takes most of a small command's time. So processes are forked
# from one that has done so, and has done nothing else.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "litdraft.cli.jobs", "litdraft.cli.training_job", "litdraft.evaluation.run",
        "litdraft.studies.run",
    ]
)  # fmt: skip


def run(folder: Path, entry: str, *words: str) -> str:
    """What it prints; AssertionError with all of that unless it ends well."""
    with tempfile.TemporaryDirectory() as temporary:
        out, err = Path(temporary) / "out", Path(temporary) / "err"
        process = FORKS.Process(target=_command, args=(folder, entry, words, out, err))
        process.start()
        process.join(LIMIT)
        code = process.exitcode
        process.kill()
        assert code == 0, out.read_text() + err.read_text()
        return out.read_text(encoding="utf-8")


def _command(folder: Path, entry: str, words: tuple[str, ...], out: Path, err: Path) -> None:
    import torch

    for number, path in ((1, out), (2, err)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
    os.environ.update(ALONE)
    torch.set_num_threads(1)
    os.chdir(folder)
    sys.argv = [str(ROOT / entry), *words]
    runpy.run_path(sys.argv[0], run_name="__main__")


def run_anew(folder: Path, entry: str, *words: str) -> str:
    """The same by an interpreter of its own: for what starts processes itself."""
    done = subprocess.run(
        [sys.executable, str(ROOT / entry), *words], cwd=folder, capture_output=True, text=True,
        timeout=LIMIT, env={**os.environ, **ALONE}, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
