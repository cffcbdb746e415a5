"""Decoding gives the same tokens and counts as it did before the package's redesign.

golden/expected.json was written by commit d88a2e9 with the same target, drafters, prompts and seed,
in float64, in which all processors agree. golden/lstm.safetensors: an LSTM drafter that was trained
for 240 steps then, in float16.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import litdraft
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.drafters.ngram import NGram
from litdraft.protocols import Drafter
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.load import open_tokenizer

GOLDEN = Path(__file__).with_name("golden")
TINY = Path(litdraft.__file__).with_name("assets") / "tiny"
K, SEED, NEW_TOKENS = 3, 7, 48
PROMPTS = (
    "Once upon a time there was a little dog",
    "The old man looked at the sea and",
    "Tom and Anna",
    "One day,",
)
SAMPLINGS = {"greedy": Sampling(0.0), "sampled": Sampling(0.8, top_p=0.95)}


@pytest.fixture(scope="module")
def target() -> LlamaTarget:
    return LlamaTarget.open(TINY, torch.float64)


def texts() -> list[str]:
    """What the n-gram model is counted from."""
    return [
        f"One day {name} found {thing} {place}. "
        f"{name} was very happy and went to play with {thing}."
        for name in ("Tom", "Anna", "the dog", "the old man")
        for thing in ("a ball", "a red hat", "some bread", "the boat")
        for place in ("in the garden", "by the sea", "at home")
    ]


def lstm(target: LlamaTarget) -> Drafter:
    drafter = LSTM(target.spec, width=32, vocabulary=1024)
    drafter.load_state_dict(load_file(GOLDEN / "lstm.safetensors"))
    return drafter


def ngram(target: LlamaTarget) -> Drafter:
    drafter, tokenizer = NGram(target.spec, order=4), open_tokenizer(TINY)
    drafter.count([torch.tensor(tokenizer.encode(text)) for text in texts()])
    return drafter


def lookup(target: LlamaTarget) -> Drafter:
    return Lookup()


@pytest.mark.parametrize("mode", SAMPLINGS)
@pytest.mark.parametrize("make", [lstm, ngram, lookup])
def test_tokens_and_counts_have_not_changed(
    target: LlamaTarget, make: Callable[[LlamaTarget], Drafter], mode: str
) -> None:
    expected = json.loads((GOLDEN / "expected.json").read_text())[f"{make.__name__}-{mode}"]
    tokenizer, drafter = open_tokenizer(TINY), make(target).double()
    drafter.bind(target)
    prompts = [tokenizer.encode(prompt) for prompt in PROMPTS]
    loop = Speculate(target, drafter, K, SAMPLINGS[mode], SEED)
    result = loop.generate(prompts, NEW_TOKENS)
    assert result.tokens == expected["tokens"]
    assert result.accepted == expected["accepted"]
    assert result.drafted == expected["drafted"]
    if mode == "greedy":
        plain = Autoregress(target, SAMPLINGS[mode], SEED).generate(prompts, NEW_TOKENS)
        assert plain.tokens == expected["tokens"]
