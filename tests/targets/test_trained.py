"""Trained checkpoints, as they came: a target that writes, and a drafter on the same tokenizer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.pretrained import Pretrained
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.load import open_tokenizer

ROOT = Path(__file__).resolve().parent.parent.parent


def test_stories260k_tells_a_story(shared: Path) -> None:
    folder = shared / "targets" / "stories260K"
    target = LlamaTarget.open(folder / "stories260K.bin")
    tokenizer = open_tokenizer(folder / "tok512.model")
    (ids,) = Autoregress(target, Sampling()).generate([tokenizer.encode("")], 60).tokens
    assert tokenizer.decode(ids).startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside"
    )


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_one_trained_model_drafts_for_another(shared: Path, temperature: float) -> None:
    targets = shared / "targets"
    tokenizer = open_tokenizer(targets / "stories260K" / "tok512.model")
    target = LlamaTarget.open(targets / "stories260K" / "stories260K.bin", torch.float64)
    drafter = Pretrained(target.spec, targets / "llama2xs_279K" / "model.bin").double().eval()
    drafter.model.reset_buffers()
    prompts = [tokenizer.encode(words) for words in ("", "Tom had a", "The big dog")]
    sampling = Sampling(temperature)
    generation = Speculate(target, drafter, 3, sampling).generate(prompts, 60)
    accepted = [count for row in generation.accepted for count in row]
    assert 1 + sum(accepted) / len(accepted) > 1.8
    if sampling.greedy:
        assert generation.tokens == Autoregress(target, sampling).generate(prompts, 60).tokens


def test_the_embedded_target_is_small_and_writes_english() -> None:
    folder = ROOT / "src" / "litdraft" / "assets" / "tiny"
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 8_000_000
    tokenizer = open_tokenizer(folder)
    target = LlamaTarget.open(folder)
    (ids,) = (
        Autoregress(target, Sampling()).generate([tokenizer.encode("Once upon a time")], 24).tokens
    )
    assert tokenizer.decode(ids).startswith(", there was a little girl named Lily.")
