"""Benchmarks are programs too: the one for GPUs runs, small, without what it must not need."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_the_gpu_benchmark_runs_small_without_hydra_and_lightning(tmp_path: Path) -> None:
    program = (
        "import runpy, sys\n"
        "for name in ('hydra', 'omegaconf', 'lightning'): sys.modules[name] = None\n"
        "runpy.run_path('benchmarks/gpu.py', run_name='__main__')\n"
    )
    out = tmp_path / "gpu.json"
    wishes = ["--shapes", "tiny", "--device", "cpu", "--vocabulary", "64", "--tokens", "24"]
    subprocess.run(
        [sys.executable, "-c", program, *wishes, "--context", "16", "--out", str(out)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    told = json.loads(out.read_text())["tiny"]
    curve = told["curve"]
    assert all(point["same_text"] for point in curve), "whatever is drafted, the text is the same"
    lengths = [point["mean_acceptance_length"] for point in curve]
    assert lengths == sorted(lengths)
    assert lengths[0] == 1
    assert lengths[-1] > 4
