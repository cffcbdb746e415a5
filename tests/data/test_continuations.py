"""Caches that are killed at any moment and resumed are the same to the byte as whole ones."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10
LONGEST = {"text": 0.25, "cache": 0.55}  # of the whole time, so that some are left to kill


def work(name: str, folder: Path) -> None:
    """Make one artefact completely, resuming if a part exists."""
    import torch
    from tests.fakes import random_target

    from litdraft.data import continuations
    from litdraft.data.continuations import Writer
    from litdraft.data.distributed import Distributed
    from litdraft.data.rows.rows import Rows
    from litdraft.sampling import Sampling
    from litdraft.teachers import cache as teacher_cache
    from litdraft.teachers.cache import TeacherCache
    from litdraft.teachers.hidden import Hidden

    torch.set_num_threads(1)
    target = random_target(dtype=torch.float32)
    if name == "text":
        continuations.ROWS_PER_FILE = 8
        prompts = [[1, 3 + n % 17] for n in range(176)]
        Writer(target, folder, seed=0, batch=4).write(prompts, 24, Sampling(1.0))
    else:
        teacher_cache.SHARD_BYTES = 6000
        rows = Rows.of([[1 + (n * m) % 19 for m in range(3 + n % 40)] for n in range(800)])
        TeacherCache(rows, Hidden("int8"), target, (0,), folder, Distributed())


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def child(task: Callable[[], None]) -> int:
    """A forked process: everything is imported already, so that it is killed while it works."""
    pid = os.fork()
    if pid == 0:
        try:
            task()
        except BaseException:
            os._exit(1)
        os._exit(0)
    return pid


def harness(name: str, folder: Path) -> None:
    """Runs in a separate process, which has started no threads and may fork."""
    random.seed(name)
    begun = time.perf_counter()
    assert os.waitpid(child(lambda: work(name, folder / "whole")), 0)[1] == 0
    seconds = time.perf_counter() - begun
    killed = 0
    for _ in range(KILLS):
        pid = child(lambda: work(name, folder / "parts"))
        time.sleep(random.uniform(0.1, LONGEST[name]) * seconds)
        os.kill(pid, signal.SIGKILL)
        killed += os.WIFSIGNALED(os.waitpid(pid, 0)[1])
    begun_files = len(contents(folder / "parts"))
    assert os.waitpid(child(lambda: work(name, folder / "parts")), 0)[1] == 0
    whole, parts = contents(folder / "whole"), contents(folder / "parts")
    assert whole == parts, sorted(whole.keys() ^ parts.keys())
    print(killed, begun_files, len(whole))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[int]]:
    """Of both artefacts, from one process, because its imports take most of the time."""
    folder = tmp_path_factory.mktemp("kills")
    program = (
        "import pathlib, torch, lightning, datasets, safetensors.torch, tests.fakes\n"
        "from tests.data.test_continuations import harness\n"
        f"for name in {list(LONGEST)}:\n"
        f"    harness(name, pathlib.Path({str(folder)!r}) / name)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-2000:]
    counts = list(map(int, ran.stdout.split()[-3 * len(LONGEST) :]))
    return {name: counts[3 * i : 3 * i + 3] for i, name in enumerate(LONGEST)}


@pytest.mark.parametrize("name", LONGEST)
def test_ten_kills_leave_no_trace(name: str, results: dict[str, list[int]]) -> None:
    killed, begun, files = results[name]
    assert killed >= 3, "most of them died at work"
    assert begun > 0, "some at work"
    assert files > 20
