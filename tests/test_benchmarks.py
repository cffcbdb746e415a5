"""Benchmarks are programs too: every script starts, at its smallest size."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from litdraft.networks.t5_blocks import T5Config

ROOT = Path(__file__).resolve().parent.parent
BENCHMARKS = ROOT / "benchmarks"
# These read nothing but what is saved in benchmarks/results/.
TABLES = ["families", "fastllm", "gpt_k", "llama2c_pair"]
# These train for minutes and more, on material outside the repository: they start, and say how.
TRAINING = ["certainty", "restoration", "sentence_layers", "sources", "teacher", "word_completion"]
SMALL = ["counting", "decode", "gpu", "hf_round", "house", "lossless", "memory", "objective",
         "passes", "rounds", "seq2seq_round", "table"]  # fmt: skip
SHARED_CODE = ["drawing", "runs"]


def test_each_script_is_started_here() -> None:
    scripts = {path.stem for path in BENCHMARKS.glob("*.py")}
    assert scripts == {*TABLES, *TRAINING, *SMALL, *SHARED_CODE}


def run(*words: str | Path, program: str | None = None) -> str:
    first = [sys.executable, "-c", program] if program else [sys.executable]
    done = subprocess.run(
        [*first, *map(str, words)], cwd=ROOT, check=False, capture_output=True, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"}, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Import a script, to be called with other constants."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.chdir(ROOT)

    def load(name: str, *words: str | Path, **constants: Any) -> ModuleType:
        spec = importlib.util.spec_from_file_location(f"bench_{name}", BENCHMARKS / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        for constant, value in constants.items():
            assert hasattr(module, constant)
            monkeypatch.setattr(module, constant, value)
        monkeypatch.setattr(sys, "argv", [f"{name}.py", *map(str, words)])
        return module

    return load


@pytest.mark.parametrize("name", TABLES)
def test_saved_results_make_a_table(name: str) -> None:
    assert "| --- |" in run(BENCHMARKS / f"{name}.py", "--table")


def test_saved_reports_make_a_table() -> None:
    printed = run(BENCHMARKS / "table.py", *sorted((BENCHMARKS / "results").glob("*.json")))
    assert "tiny-lstm" in printed


@pytest.mark.parametrize("name", TRAINING)
def test_a_long_benchmark_starts(name: str) -> None:
    assert "usage" in run(BENCHMARKS / f"{name}.py", "--help")


def test_the_gpu_benchmark_runs_small_without_hydra_and_lightning(tmp_path: Path) -> None:
    program = (
        "import runpy, sys\n"
        "for name in ('hydra', 'omegaconf', 'lightning'): sys.modules[name] = None\n"
        "runpy.run_path('benchmarks/gpu.py', run_name='__main__')\n"
    )
    out = tmp_path / "gpu.json"
    words = ["--shapes", "tiny", "--device", "cpu", "--vocabulary", "64", "--tokens", "24"]
    run(*words, "--context", "16", "--out", out, program=program)
    curve = json.loads(out.read_text())["tiny"]["curve"]
    assert all(point["same_text"] for point in curve), "whatever is drafted, the text is the same"
    lengths = [point["mean_acceptance_length"] for point in curve]
    assert lengths == sorted(lengths)
    assert lengths[0] == 1
    assert lengths[-1] > 4


def test_counting(tmp_path: Path) -> None:
    out = tmp_path / "counting.json"
    run(BENCHMARKS / "counting.py", "--tokens", "2000", "--vocabularies", "64", "--repeats", "1",
        "--out", out)  # fmt: skip
    assert out.exists()


def test_house() -> None:
    assert "members" in run(BENCHMARKS / "house.py", ROOT)


def test_lossless_reads_what_is_done(script: Any, tmp_path: Path) -> None:
    module = script("lossless", FAMILIES=[], RESULTS=tmp_path / "lossless.json")
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0


def test_memory(script: Any, tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    words = ["--shape", "tiny", "--context", "16", "--tokens", "4", "--vocabulary", "64"]
    script("memory", *words, "--out", out).main()
    assert json.loads(out.read_text())["bytes"]["weights"] > 0


def test_objective(capsys: pytest.CaptureFixture[str], script: Any) -> None:
    losses = []
    for way in ("chunked", "naive"):
        script("objective", "--case", way, "40", "24", "3", "16").main()
        losses.append(json.loads(capsys.readouterr().out)["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_rounds_of_transformers_models(script: Any, tmp_path: Path) -> None:
    out = tmp_path / "rounds.json"
    script("hf_round", KINDS=("llama",), PREFIX=16, TURNS=40, RESULTS=out).main()
    assert {row["rows"] for row in json.loads(out.read_text())} == {1, 4}


def test_rounds_of_encoder_decoders(script: Any, tmp_path: Path) -> None:
    out, tiny = tmp_path / "rounds.json", T5Config(4096, 16, 1, 1, 2, 8, 16, start=1, limit=64)
    constants = {"KINDS": {"tiny": tiny}, "SOURCE": 12, "TURNS": 14, "RESULTS": out}
    script("seq2seq_round", **constants).main()
    assert len(json.loads(out.read_text())["rows"]) == 4


def test_passes(script: Any, tmp_path: Path, little: Path) -> None:
    out = tmp_path / "passes.json"
    script("passes", "--target", little / "target", RESULT=out, BEHIND=8).main()
    assert json.loads(out.read_text())["seconds"]


def test_decoding_beside_transformers(script: Any, tmp_path: Path, little: Path) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "decode.json"
    text.write_text("\n\n".join((little / "text" / "one.txt").read_text().split("\n")[:6]))
    words = ["--target", little / "target", "--text", text, "--prompts", "2", "--opening", "6"]
    script("decode", *words, "--tokens", "6", "--turns", "1", "--threads", "1", "--out", out).main()
    rows = {row["name"] for row in json.loads(out.read_text())["rows"]}
    assert any("plain" in name for name in rows)


def test_rounds(script: Any, tmp_path: Path, little: Path) -> None:
    text, out = tmp_path / "text.txt", tmp_path / "rounds.json"
    lines = (little / "text" / "one.txt").read_text().split("\n")
    text.write_text("\n\n".join(" ".join(lines[at : at + 8]) for at in range(0, 64, 8)))
    run(ROOT / "train.py", "target=llama", f"target.path={little / 'target'}", "k=2",
        "drafter.width=16", "drafter.vocabulary=null", "data.samples=16", "data.length=24",
        "data.validation_prompts=2", "data.validation_tokens=16", "probe_prompts=0",
        "trainer.max_steps=2", f"data.cache={tmp_path / 'cache'}",
        f"hydra.run.dir={tmp_path / 'run'}")  # fmt: skip
    words = ["--run", tmp_path / "run", "--text", text, "--k", "2", "--tokens", "8"]
    small = {"CONTEXT": 24, "CONTEXTS": (24,), "LENGTHS": (1, 2), "BATCHES": (1, 2), "OPENING": 16}
    script("rounds", *words, "--turns", "1", "--threads", "1", "--out", out, **small).main()
    assert json.loads(out.read_text())["throughput"]
