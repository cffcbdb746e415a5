"""Studies as they are typed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from tests.commands import ROOT, run

from litdraft.config.checks import checked
from litdraft.config.resolvers import register
from litdraft.config.study import study
from litdraft.errors import UserError
from litdraft.runs.restore import evaluation_config
from litdraft.studies.certainty import BOUNDS


def studied(folder: Path, *words: str) -> dict[str, Any]:
    """A study in this process."""
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        config = evaluation_config([*words, f"data.cache={folder / 'cache'}"])
    study(checked(config), folder)
    report: dict[str, Any] = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    return report


def test_a_certainty_study_from_the_command_line(little: Path, tmp_path: Path) -> None:
    output = run(
        tmp_path, "evaluate.py", "study=certainty", "target=llama", "name=sure", "dtype=float32",
        f"target.path={little / 'target'}", "data=text", f"data.path={little / 'text'}",
        "data.length=24", "data.opening=8", "prompts=10", "max_new_tokens=30",
    )  # fmt: skip
    assert "certain (at least 0.99) at" in output
    folder = tmp_path / "outputs" / "sure"
    report = json.loads((folder / "study.json").read_text(encoding="utf-8"))
    assert list(report["texts"]) == ["own", "greedy", "sampled"]
    assert str(ROOT) not in report["command"]
    for name, text in report["texts"].items():
        assert text["texts"] == 10
        parts = text["kinds"].values()
        assert sum(part["positions"] for part in parts) == text["positions"], name
        for column in range(len(BOUNDS)):
            assert sum(part["certain"][column] for part in parts) == text["certain"][column]
        assert text["share"] == sorted(text["share"], reverse=True)
        assert text["share"][0] == text["certain"][0] / text["positions"]
    greedy, sampled = report["texts"]["greedy"], report["texts"]["sampled"]
    assert greedy["right"] == greedy["certain"], "greedy text is the likeliest"
    assert greedy["positions"] <= 300
    assert 70 < report["prompt_tokens"] <= 80, "a prompt is an opening, however much is written"
    assert {found["texts"] for found in sampled["detection"]["0.9"]} == {5}
    for name in ("study.md", "certainty.png", "kinds.png", "detection.png"):
        assert (folder / name).stat().st_size > 0, name


def test_text_that_only_the_target_writes(little: Path, tmp_path: Path) -> None:
    """An encoder-decoder reads its source; what has no text of its own is left out."""
    sizes = ["prompts=4", "max_new_tokens=18", "dtype=float32"]
    path = tmp_path / "some.jsonl"
    rows = [{"prompt": f"bal {'t' * n}", "response": f"fos lim{'s' * n}"} for n in range(30)]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    report = studied(
        tmp_path, "study=certainty", "target=seq2seq", f"target.path={little / 't5'}",
        "data=jsonl", f"data.path={path}", *sizes,
    )  # fmt: skip
    assert report["texts"]["own"]["texts"] > 0
    generated = ["target=llama", f"target.path={little / 'target'}", "data.length=24"]
    report = studied(tmp_path, "study=certainty", *generated, *sizes)
    assert list(report["texts"]) == ["greedy", "sampled"]


def test_suffixes_of_a_tokenizer_and_of_a_text(little: Path, tmp_path: Path) -> None:
    """No weights are opened: there are none."""
    words = ["study=suffixes", "target=llama", f"target.tokenizer={little / 'tokenizer.model'}"]
    report = studied(tmp_path, *words)
    pieces = {one["piece"] for one in report["suffixes"]}
    assert {"s", "t"} <= pieces
    assert not any(piece.startswith("▁") for piece in pieces)
    assert sum(report["kinds"].values()) == report["pieces"]
    assert report["kinds"]["suffix"] == len(pieces)
    assert report["suffixes"][0]["count"] is None
    report = studied(tmp_path, *words, "data=text", f"data.path={little / 'text'}")
    counts = [one["inside"] for one in report["suffixes"]]
    assert counts == sorted(counts, reverse=True)
    assert 0 < sum(counts) == report["inside"] < report["tokens"]
    assert {one["piece"] for one in report["suffixes"]} == pieces


REFUSED = {
    "a typo": (["study=certianty"], "there is no study=certianty: did you mean certainty?"),
    "nothing near": (["study=x"], "there is no study=x: choose one of certainty, suffixes"),
    "devices": (["study=certainty", "devices=2"], "devices=2 was given"),
    "no target": (["study=certainty", "~target"], "target=null was given"),
    "no tokenizer": (["study=suffixes", "target=llama"], "give target.tokenizer="),
    "no capacity": (
        ["study=certainty", "data.length=100", "data.opening=90", "max_new_tokens=600"],
        "has a context of 512: lower data.length or max_new_tokens",
    ),
}


@pytest.mark.parametrize("words, message", REFUSED.values(), ids=REFUSED.keys())
def test_a_study_that_cannot_be_meant_is_refused(
    tmp_path: Path, words: list[str], message: str
) -> None:
    with pytest.raises(UserError) as error:
        studied(tmp_path, *words)
    assert message in str(error.value)
