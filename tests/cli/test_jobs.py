"""What a user types, from training to the report, in a folder of its own."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import initialize_config_dir
from tests.commands import ROOT, run, run_anew

from litdraft.config.resolvers import register
from litdraft.decoding.autoregress import Autoregress
from litdraft.errors import UserError
from litdraft.runs.restore import evaluation_config
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.load import open_tokenizer

FIELDS = {
    "mean_acceptance_length", "acceptance_rate", "conditional_acceptance", "survival",
    "tokens_per_second", "baseline_tokens_per_second", "speedup",
    "predicted_mean_acceptance_length", "k", "temperature", "mode", "losslessness",
    "repeated_4grams", "floor", "prompts", "tokens", "target", "drafter", "device", "dtype",
    "command", "commit", "versions", "draft_milliseconds",
}  # fmt: skip


def small(little: Path) -> list[str]:
    """A run of seconds."""
    return [
        "target=llama", f"target.path={little / 'target'}", "data.samples=48", "data.length=32",
        "data.validation_prompts=6", "data.validation_tokens=24", "data.batch_size=8",
        "drafter.width=12", "trainer.accelerator=cpu", "trainer.max_epochs=2", "probe_prompts=2",
    ]  # fmt: skip


def written(little: Path, prompt: str, tokens: int) -> str:
    """What the little target itself writes behind a prompt, greedily."""
    target = LlamaTarget.open(little / "target", dtype=torch.float64)
    tokenizer = open_tokenizer(little / "tokenizer.model")
    decoder = Autoregress(target, Sampling(0.0), seed=0)
    return tokenizer.decode(decoder.generate([tokenizer.encode(prompt)], tokens).tokens[0])


def weights(run_folder: Path) -> dict[str, torch.Tensor]:
    saved: dict[str, Any] = torch.load(run_folder / "checkpoints" / "last.ckpt", weights_only=True)
    return dict(saved["state_dict"])


@pytest.fixture(scope="module")
def trained(little: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which train.py was run with name=one."""
    folder = tmp_path_factory.mktemp("work")
    told = run(folder, "train.py", *small(little), "name=one")
    assert "python evaluate.py run=outputs/one" in told
    return folder


def test_a_run_folder_holds_what_it_promises(trained: Path) -> None:
    one = trained / "outputs" / "one"
    for name in (".hydra/config.yaml", "checkpoints/best.ckpt", "metrics.csv", "manifest.json"):
        assert (one / name).exists(), name
    with (one / "metrics.csv").open(encoding="utf-8") as file:
        epochs = [row for row in csv.DictReader(file) if row["val/mean_acceptance_length"]]
    assert len(epochs) == 2
    assert all(float(row["val/probe_mean_acceptance_length"]) >= 1 for row in epochs)
    manifest = json.loads((one / "manifest.json").read_text(encoding="utf-8"))
    best = max(float(row["val/mean_acceptance_length"]) for row in epochs)
    assert manifest["val/mean_acceptance_length"] == pytest.approx(best, abs=1e-5)


def test_two_devices_evaluate_as_one(trained: Path) -> None:
    """Every prompt once: the counts are the same, whoever decoded them."""
    words = ["run=outputs/one", "prompts=5", "max_new_tokens=24", "k=2", "dtype=float64"]
    reports = []
    for devices, command in ((1, run), (2, run_anew)):
        command(trained, "evaluate.py", *words, f"devices={devices}")
        folder = trained / "outputs" / "one"
        reports.append(json.loads((folder / "report.json").read_text(encoding="utf-8")))
        for name in ("report.md", "acceptance.png", "lengths.png", "speed.png"):
            assert (folder / name).stat().st_size > 0
    one, two = reports
    assert one.keys() >= FIELDS
    assert one["quality"] is one["other_sampling"]["quality"] is None, "the data has no references"
    assert one["k"] == 2
    assert one["losslessness"] | {"tolerance": 0} == {
        "prompts": 5, "identical": 5, "near_ties": 0, "mismatches": 0, "tolerance": 0,
    }  # fmt: skip
    assert str(ROOT) not in json.dumps(one["command"])
    for key in ("accepted_lengths", "tokens", "repeated_4grams", "floor"):
        assert one[key] == pytest.approx(two[key]), key
    assert one["other_sampling"]["accepted_lengths"] == two["other_sampling"]["accepted_lengths"]


def test_two_devices_train_as_one(trained: Path, little: Path) -> None:
    """They share out the writing of text and of the teacher's cache as well: the same files."""
    fresh = ["name=two", "devices=2", "teacher=hidden", "data.cache=outputs/fresh"]
    run_anew(trained, "train.py", *small(little), *fresh)
    one, two = (weights(trained / "outputs" / name) for name in ("one", "two"))
    for name, weight in one.items():
        assert (weight - two[name]).abs().max() < 1e-4, name
    outputs = trained / "outputs"
    written = [path for path in (outputs / "fresh" / "written").rglob("*") if path.is_file()]
    assert len(written) >= 8
    for path in written:
        alone = outputs / "cache" / path.relative_to(outputs / "fresh")
        assert path.read_bytes() == alone.read_bytes()
    shards = list((outputs / "fresh" / "teacher").rglob("*.safetensors"))
    times = [shard.stat().st_mtime_ns for shard in shards]
    # One device, so that the cache must not depend on how many there are.
    run(trained, "train.py", *small(little), *fresh, "name=three", "k=2", "devices=1")
    assert [shard.stat().st_mtime_ns for shard in shards] == times != [], "a sweep has one cache"


def test_prompts_from_a_file_to_a_report_by_category(trained: Path, little: Path) -> None:
    lines = (little / "text" / "one.txt").read_text(encoding="utf-8").splitlines()
    rows = [
        {"prompt": line[:30], "response": line[30:], "kind": "even" if n % 2 == 0 else "odd"}
        for n, line in enumerate(lines)
    ]
    (trained / "some.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    words = [word for word in small(little) if "data.length" not in word]
    words += ["data=jsonl", "data.path=some.jsonl", "data.group_key=kind", "name=prompts"]
    told = run(trained, "train.py", *words, "data.preview=1")
    assert "48 rows" in told
    assert not (trained / "outputs" / "prompts" / "checkpoints").exists(), "a preview stops"
    _, trained_on = told.split("⟦")[:2]
    assert lines[0][:3] not in trained_on
    assert "⏎end⟧" in trained_on
    words += ["data.responses=target", "data.response_tokens=16", "data.pack=true"]
    run(trained, "train.py", *words, "data.workers=1", "teacher.dtype=int8", "teacher=hidden")
    own = [{**row, "response": written(little, row["prompt"], 16)} for row in rows[:6]]
    (trained / "own.jsonl").write_text("\n".join(map(json.dumps, own)), encoding="utf-8")
    run(
        trained, "evaluate.py", "run=outputs/prompts", "prompts=4", "max_new_tokens=16",
        "dtype=float64", "data.test=own.jsonl",
    )  # fmt: skip
    folder = trained / "outputs" / "prompts"
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert set(report["groups"]) == {"even", "odd"}
    for name, part in report["groups"].items():
        assert part["prompts"] == 2, name
    assert report["losslessness"]["identical"] == report["quality"]["prompts"] == 4
    for part in (report, *report["groups"].values()):
        plain = part["quality"]["baseline"]
        assert plain == part["quality"]["drafted"], "the same texts"
        assert (plain["chrf"], plain["word_accuracy"]) == (1, 1), "each by its own reference"
    assert report["other_sampling"]["quality"]["prompts"] == 4
    assert report["other_sampling"]["quality"]["drafted"]["chrf"] < 1
    rounds = [sum(part["accepted_lengths"]) for part in report["groups"].values()]
    assert sum(rounds) == report["rounds"]
    assert (folder / "categories.png").stat().st_size > 0
    assert "By category, greedy" in (folder / "report.md").read_text(encoding="utf-8")
    register()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        path = f"run={folder}"
        seeded = evaluation_config([path, "seed=5"])
        assert (seeded.seed, seeded.data.split_seed) == (5, 0), "what is held out stays held out"
        with pytest.raises(UserError, match="would test on what the run was trained on"):
            evaluation_config([path, "data.split_seed=5"])


def test_a_run_is_taken_up_again(trained: Path, little: Path) -> None:
    """Interrupted after one epoch of two. The learning rate's schedule knows the whole length
    either way, because it counts steps."""
    words = [w for w in small(little) if "max_epochs" not in w]
    run(trained, "train.py", *words, "name=parts", "trainer.max_epochs=1", "schedule=constant")
    told = ["name=parts", "trainer.max_epochs=2", "schedule=constant", "resume=true"]
    run(trained, "train.py", *words, *told)
    run(trained, "train.py", *words, "name=whole", "trainer.max_epochs=2", "schedule=constant")
    parts, whole = (weights(trained / "outputs" / name) for name in ("parts", "whole"))
    assert all(torch.equal(weight, parts[name]) for name, weight in whole.items())
    assert (trained / "outputs" / "parts" / "metrics.1.csv").exists()


def test_a_drafter_without_training_and_a_streamed_prompt(trained: Path, little: Path) -> None:
    words = ["target=llama", f"target.path={little / 'target'}", "max_new_tokens=16"]
    assert "With lookup" in run(
        trained, "evaluate.py", *words, "drafter=lookup", "prompts=3", "temperature=1", "batch=2"
    )
    chosen = ("run=outputs/one", "name=far", "prompts=2", "max_new_tokens=16", "k=auto")
    run(trained, "evaluate.py", *chosen)
    report = json.loads((trained / "outputs/one/report.json").read_text())
    paces = {length["k"]: length["tokens_per_second"] for length in report["draft_lengths"]}
    assert report["k"] == max(paces, key=lambda k: paces[k])
    told = run(trained, "evaluate.py", "run=outputs/one", "max_new_tokens=16", "prompt=bal dem")
    assert told.startswith("bal dem")
    assert "tokens per second against" in told


def test_a_sweep_ends_with_one_table_and_hides_no_job(trained: Path, little: Path) -> None:
    words = [*small(little), "drafter.layers=1,0", "k=1,2", "evaluation.prompts=3",
             "+evaluation.max_new_tokens=16", "hydra.sweep.dir=outputs/sweeps/try"]  # fmt: skip
    words[-3] = "+" + words[-3]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "-m", *words],
        cwd=trained, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    with (trained / "outputs/sweeps/try/sweep.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    outcomes = sorted(row["outcome"].split(":")[0] for row in rows)
    assert outcomes == ["done", "done", "failed", "failed"], rows
    assert {row["k"] for row in rows if row["outcome"] == "done"} == {"1", "2"}
    assert all("layers=0" in row["outcome"] for row in rows if row["outcome"] != "done")
    assert all(
        float(row["mean acceptance length"]) >= 1 for row in rows if row["outcome"] == "done"
    )
    told = (trained / "outputs/sweeps/try/sweep.md").read_text(encoding="utf-8")
    assert sum(line.startswith("| ") for line in told.splitlines()) == 6


def test_a_sweep_over_devices_is_refused(trained: Path, little: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "-m", *small(little), "devices=2", "k=1,2",
         "hydra.sweep.dir=outputs/sweeps/refused"],
        cwd=trained, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "would start itself again in every child" in done.stderr


def test_a_language_model_is_trained_and_then_is_a_target(trained: Path, little: Path) -> None:
    """The recipe of the embedded target, in small."""
    run(
        trained, "train.py", "experiment=tiny_target", f"data.path={little / 'text'}",
        "tokenizer_pieces=320", "data.length=64", "trainer.max_steps=4", "name=lm",
        "drafter.layers=2", "drafter.width=32", "drafter.heads=2",
        "drafter.kv_heads=1", "drafter.head_width=16", "drafter.inner=48",
        "trainer.accelerator=cpu",
    )  # fmt: skip
    model = "target.path=outputs/lm/model"
    assert "With lookup, model" in run(
        trained, "evaluate.py", "target=llama", model, "prompts=2", "max_new_tokens=8",
        "data=text", f"data.path={little / 'text'}",
    )  # fmt: skip
