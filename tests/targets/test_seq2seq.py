"""A native T5 behind every family: transformers' own T5 is the reference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.drafters import seq2seq
from tests.networks.t5_networks import EOS, START, VOCABULARY, network, saved
from tests.statistic import pair_statistic

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.protocols import Needs
from litdraft.sampling import Sampling
from litdraft.targets.hf_causal import HFCausalTarget
from litdraft.targets.llama import LlamaTarget
from litdraft.targets.seq2seq import Seq2SeqTarget

TOKENS = 24
SOURCES = [[5, 6, 7, 5, 6, 7, 9, 2], [4, 2], [11, 3, 4, 3, 4, 3, 8, 9, 30, 31, 22, 17, 2]]
PROMPTS = [[*source, START] for source in SOURCES]


@pytest.fixture(scope="module", params=["t5", "flan"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Transformers' model and ours."""
    folder = saved(tmp_path_factory.mktemp(request.param), request.param)
    return network(request.param), Seq2SeqTarget.open(folder, torch.float64)


def generated(model: Any, source: list[int]) -> list[int]:
    """What transformers itself writes, greedily and with its own cache."""
    tokens_1T = model.generate(
        torch.tensor([source]), max_new_tokens=TOKENS, do_sample=False, num_beams=1
    )
    tokens: list[int] = tokens_1T[0, 1:].tolist()
    return tokens


def test_greedy_decoding_equals_generate(pair: Any) -> None:
    """Token for token in float64: alone, and behind every family, one row and three."""
    model, target = pair
    wanted = [generated(model, source) for source in SOURCES]
    assert len({token for text in wanted for token in text}) > 8  # not one token for ever
    greedy = Sampling(0.0)
    plain = Autoregress(target, greedy)
    assert plain.generate(PROMPTS, TOKENS).tokens == wanted
    assert [plain.generate([prompt], TOKENS).tokens[0] for prompt in PROMPTS] == wanted
    for family in seq2seq.FAMILIES:
        drafter = family(target)
        drafter.bind(target)
        loop = Speculate(target, drafter, 3, greedy)
        assert loop.generate(PROMPTS, TOKENS).tokens == wanted, family.__name__
        assert [loop.generate([prompt], TOKENS).tokens[0] for prompt in PROMPTS] == wanted


def test_sampled_text_has_the_targets_distribution(tmp_path: Path) -> None:
    """Over a vocabulary of five without an end."""
    folder = saved(tmp_path, "flan", vocab_size=5, eos_token_id=None)
    target = Seq2SeqTarget.open(folder, torch.float64)
    assert pair_statistic(target, [3, 1, 4, 1, 2, START]) < 1


def test_what_does_not_fit_the_encoder_is_told(pair: Any) -> None:
    _, target = pair
    for source, told in (([3] * 65, "a source of 65 tokens.* reads 1 to 64"), ([], "of 0 tokens")):
        with pytest.raises(UserError, match=told):
            Autoregress(target, Sampling()).generate([[*source, START]], 4)
    with pytest.raises(UserError, match=r"150 positions are needed, but .* has a context of 128"):
        Autoregress(target, Sampling()).generate([[3, 2, START]], 147)


def test_a_checkpoint_of_the_other_kind_is_refused(tmp_path: Path) -> None:
    """Decoder-only as seq2seq, and the reverse: the sentence names the target to choose."""
    folder = saved(tmp_path / "t5", "t5")
    for kind in (LlamaTarget, HFCausalTarget):
        with pytest.raises(UserError, match=r"a t5 model: .* are supported, by target=seq2seq"):
            kind.open(folder)
    for kind_, told in (("llama", "give target=llama or target=hf_causal"), ("bart", "only T5")):
        other = tmp_path / kind_
        other.mkdir()
        facts = {"model_type": kind_, "is_encoder_decoder": kind_ == "bart"}
        (other / "config.json").write_text(json.dumps(facts))
        with pytest.raises(UserError, match=told):
            Seq2SeqTarget.open(other)


def test_a_tap_that_the_target_lacks_is_told(pair: Any) -> None:
    _, target = pair
    drafter = seq2seq.lstm(target)
    drafter.needs = Needs(hidden=True, taps=(2, 3))
    with pytest.raises(UserError, match=r"drafter=lstm taps layer 3, but .* has 2: tap others"):
        drafter.bind(target)


def test_it_says_what_it_is(pair: Any) -> None:
    _, target = pair
    spec = target.spec
    assert (spec.vocabulary, spec.layers, spec.bos, spec.eos) == (VOCABULARY, 2, None, (EOS,))
    assert spec.facts()["encoder_decoder"] == {"start": START, "limit": 64}
    assert not target.packs
