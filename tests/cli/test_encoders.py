"""An encoder-decoder from its own recipe to a drafter's report, as a user types it."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.commands import run
from transformers import T5ForConditionalGeneration

WORDS = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]


SMALL = [
    "data.parts.wmt14=null", "data.parts.cnn_dailymail=null", "data.parts.restoration.path=books",
    "tokenizer_pieces=320", "drafter.width=16", "drafter.heads=2", "drafter.head_width=8",
    "drafter.inner=24", "drafter.layers=1", "drafter.encoder_layers=1", "drafter.limit=96",
    "trainer.precision=32-true", "data.validation_prompts=4", "trainer.accelerator=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three books, in which experiment=small_t5 was run."""
    folder = tmp_path_factory.mktemp("work")
    (folder / "books").mkdir()
    random.seed(3)
    for title in ("alice", "jungle", "other"):
        sentences = (", ".join(random.choices(WORDS, k=8)).capitalize() for _ in range(200))
        text = "\n\n".join(f"{sentence}." for sentence in sentences)
        (folder / "books" / f"{title}.txt").write_text(text, encoding="utf-8")
    told = run(
        folder, "train.py", "experiment=small_t5", *SMALL, "trainer.max_steps=4",
        "data.parts.restoration.windows=300",
    )  # fmt: skip
    assert "target=seq2seq target.path=outputs/small_t5/model" in told
    return folder


def drafted(folder: Path, *words: str) -> dict[str, Any]:
    """Train a drafter for what was made, evaluate it, and read the report."""
    name = words[0].split("=")[1]
    run(
        folder, "train.py", "target=seq2seq", "target.path=outputs/small_t5/model",
        "data=restoration", "data.path=books", "data.test=alice", "data.validation=jungle",
        "data.samples=32", "data.response_tokens=24", "data.validation_prompts=4",
        "data.validation_tokens=24", "trainer.accelerator=cpu", "probe_prompts=1",
        f"name={name}", *words,
    )  # fmt: skip
    run(folder, "evaluate.py", f"run=outputs/{name}", "prompts=5", "max_new_tokens=16", "batch=2")
    told = (folder / "outputs" / name / "report.json").read_text(encoding="utf-8")
    report: dict[str, Any] = json.loads(told)
    assert report["losslessness"]["mismatches"] == 0
    assert report["quality"]["baseline"] == report["quality"]["drafted"]
    return report


def test_the_second_half_begins_with_the_weights_and_the_tokenizer_of_the_first(made: Path) -> None:
    more = [*SMALL, "trainer.max_steps=1", "optimizer.lr=0", "data.parts.restoration.windows=30"]
    run(made, "train.py", "experiment=small_t5_passages", *more)
    first, second = (made / "outputs" / name for name in ("small_t5", "small_t5_passages"))
    one, two = (load_file(folder / "model" / "model.safetensors") for folder in (first, second))
    assert one.keys() == two.keys()
    assert all(torch.equal(weight, two[name]) for name, weight in one.items())
    (second / "tokenizer.model").unlink()
    with pytest.raises(AssertionError, match=r"start=\S+ holds no tokenizer\.model"):
        run(made, "train.py", "experiment=small_t5_passages", *more, f"start={second}", "name=x")


def test_a_head_learns_from_what_the_encoder_decoder_writes(made: Path) -> None:
    """Pseudo data, hidden states kept on disk, a pooled source."""
    head = ["drafter.width=16", "drafter.source=pooled", "teacher=hidden", "trainer.max_steps=3"]
    report = drafted(made, "drafter=lstm", "data.responses=target", *head)
    assert report["drafter"] == "lstm"


def test_a_t5_learns_from_references(made: Path) -> None:
    sizes = ["drafter.width=16", "drafter.heads=2", "drafter.head_width=8", "drafter.inner=16"]
    report = drafted(made, "drafter=t5", *sizes, "trainer.max_steps=3")
    assert report["drafter"] == "t5"


def test_it_is_a_t5_for_others_and_for_the_command_line(made: Path) -> None:
    model: Any = T5ForConditionalGeneration.from_pretrained(made / "outputs/small_t5/model")
    assert model.config.decoder_start_token_id == 1
    target = ["target=seq2seq", "target.path=outputs/small_t5/model", "max_new_tokens=16"]
    told = run(made, "evaluate.py", *target, "prompt=Restore: bal bel bil")
    assert "tokens in" in told
    assert "rounds" in told
