"""Families and stages from the command line, as a user types them."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from tests.cli.test_jobs import small, weights
from tests.commands import run


def without_width(little: Path) -> list[str]:
    return [word for word in small(little) if not word.startswith("drafter.width")]


def test_a_drafter_that_counts(little: Path, tmp_path: Path) -> None:
    """Counted instead of trained, kept in a checkpoint, evaluated like any other."""
    told = run(tmp_path, "train.py", *without_width(little), "drafter=ngram", "name=counted")
    assert "python evaluate.py run=outputs/counted" in told
    folder = tmp_path / "outputs" / "counted"
    manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["val/mean_acceptance_length"] > 1
    run(tmp_path, "evaluate.py", "run=outputs/counted", "prompts=4", "max_new_tokens=16")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    assert report["losslessness"]["mismatches"] == 0
    assert report["mean_acceptance_length"] > report["floor"]["untrained"]


def test_two_stages_and_a_k_of_ones_own(little: Path, tmp_path: Path) -> None:
    """The second training begins where the first one ended; fewer drafts than heads are fine."""
    text = [
        "data=text",
        "data.opening=8",
        "data.response_tokens=16",
        f"data.path={little / 'text'}",
        "drafter=mtp",
        "drafter.vocabulary=40",
    ]
    words = [word for word in without_width(little) if "samples" not in word]
    run(tmp_path, "train.py", *words, *text, "name=first", "trainer.max_steps=3")
    second = ["data.responses=target", "start=outputs/first", "name=second"]
    run(tmp_path, "train.py", *words, *text, *second, "trainer.max_steps=1", "optimizer.lr=0")
    first, again = (weights(tmp_path / "outputs" / name) for name in ("first", "second"))
    for name, weight in first.items():
        assert torch.equal(weight, again[name]), name
    choices = ["run=outputs/second", "prompts=2", "max_new_tokens=8"]
    assert "mismatches" in run(tmp_path, "evaluate.py", *choices, "k=1")
