"""Transformers' causal models behind our cache: their own `generate` is the reference."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fakes import lstm, random_target
from tests.foreign import (
    ARCHITECTURES,
    PROMPTS,
    TOKENS,
    VOCABULARY,
    network,
    saved,
)
from tests.statistic import pair_statistic
from torch import Tensor
from transformers import AutoConfig

from litdraft.checkpoints.hf_causal_check import checked_model
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.drafters.pretrained import Pretrained
from litdraft.errors import UserError
from litdraft.protocols import TrainingBatch
from litdraft.sampling import Sampling
from litdraft.targets.hf_causal import HFCausalTarget
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.load import open_tokenizer


def target_of(model: Any) -> HFCausalTarget:
    return HFCausalTarget(checked_model(model, 128, "random"), "random", bos=1, eos=(2,))


def generated(model: Any, prompt: list[int]) -> list[int]:
    """What transformers itself continues a prompt with, greedily and with its own cache."""
    tokens_1T: Tensor = model.generate(
        torch.tensor([prompt]), max_new_tokens=TOKENS, do_sample=False, num_beams=1
    )
    return tokens_1T[0, len(prompt) :].tolist()


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_greedy_decoding_equals_generate(kind: str) -> None:
    """Token for token in float64: alone, and behind two drafters, one row and three."""
    model = network(kind)
    wanted = [generated(model, prompt) for prompt in PROMPTS]
    assert len({token for text in wanted for token in text}) > 3  # not one token for ever
    target, greedy = target_of(model), Sampling(0.0)
    assert Autoregress(target, greedy).generate(PROMPTS, TOKENS).tokens == wanted
    learned = lstm(target).double()
    learned.bind(target)
    for drafter in (Lookup(), learned):
        drafter.bind(target)
        loop = Speculate(target, drafter, 3, greedy)
        assert loop.generate(PROMPTS, TOKENS).tokens == wanted
        assert [loop.generate([prompt], TOKENS).tokens[0] for prompt in PROMPTS] == wanted


def test_sampled_text_has_the_targets_distribution() -> None:
    """Of a model that caps its logits, over a vocabulary of five without an end."""
    model = network("gemma2", vocab_size=5, pad_token_id=0, num_hidden_layers=2)
    assert pair_statistic(HFCausalTarget(checked_model(model, 128, "random"), "random")) < 1


@pytest.mark.parametrize("kind", ["gemma3_text", "gpt2", "falcon"])
def test_what_is_read_in_pieces_is_what_is_read_at_once(kind: str) -> None:
    """Hidden states, taps, embeddings and a narrowed head; a window of six is passed more than
    twice, and rows leave and stand apart."""
    model = network(kind)
    target = target_of(model)
    tokens_BT = torch.randint(3, VOCABULARY, (3, 20), generator=torch.Generator().manual_seed(1))
    whole = target.forward(tokens_BT, taps=(0, 2))
    assert whole.taps_BPC is not None
    assert torch.equal(whole.taps_BPC[..., :32], target.embed(tokens_BT)) or kind == "gpt2"
    told = model(tokens_BT, use_cache=False).logits
    assert (target.unembed(whole.hidden_BPD) - told).abs().max() < 1e-5
    some_U = torch.tensor([3, 9, 20])
    narrowed = target.unembed_subset(some_U)(whole.hidden_BPD)
    assert (narrowed - target.unembed(whole.hidden_BPD)[..., some_U]).abs().max() < 1e-12
    cache = target.allocate(3, 20)
    target.forward(tokens_BT[:, :12], cache)
    cache.keep(torch.tensor([12, 4, 9]))
    cache.select(torch.tensor([2, 1]))
    length_B = torch.tensor([9, 4])
    for count, kept in ((4, 2), (6, 6)):  # two of the first four are rolled back
        steps_BP = length_B[:, None] + torch.arange(count)
        read = target.forward(tokens_BT[[2, 1]].gather(1, steps_BP), cache, (0, 2))
        for row, own in enumerate((2, 1)):
            for piece, all_of in (
                (read.hidden_BPD, whole.hidden_BPD),
                (read.taps_BPC, whole.taps_BPC),
            ):
                assert piece is not None
                assert (piece[row] - all_of[own, steps_BP[row]]).abs().max() < 1e-5
        cache.keep(torch.full((2,), kept))
        length_B += kept


def test_packed_texts_do_not_read_each_other() -> None:
    """Where an architecture cannot keep them apart, that is told."""
    tokens_1T = torch.randint(3, VOCABULARY, (1, 20), generator=torch.Generator().manual_seed(1))
    start_1T = torch.tensor([[0] * 8 + [8] * 12])
    apart = target_of(network("mistral"))
    packed = apart.forward(tokens_1T, start_BP=start_1T).hidden_BPD
    for piece in (slice(0, 8), slice(8, 20)):
        alone = apart.forward(tokens_1T[:, piece]).hidden_BPD
        assert (packed[:, piece] - alone).abs().max() < 1e-5
    with pytest.raises(UserError, match=r"BloomForCausalLM cannot read packed rows: .*pack=false"):
        target_of(network("bloom")).forward(tokens_1T, start_BP=start_1T)


def test_a_folder_is_opened_as_it_is_written(tmp_path: Path) -> None:
    folder = saved(tmp_path, "qwen3")
    target = HFCausalTarget.open(folder, torch.float64)
    assert target.spec.name == tmp_path.name
    assert (target.spec.vocabulary, target.spec.width, target.spec.layers) == (VOCABULARY, 32, 3)
    assert (target.spec.bos, target.spec.eos, target.spec.context) == (1, (2,), 128)
    assert target.spec.fingerprint == HFCausalTarget.open(folder, torch.float32).spec.fingerprint
    wanted = generated(network("qwen3", torch.float32).double(), PROMPTS[0])
    assert Autoregress(target, Sampling()).generate(PROMPTS[:1], TOKENS).tokens == [wanted]


def edited(folder: Path, **keys: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))


def test_what_cannot_roll_back_is_refused_by_name(tmp_path: Path) -> None:
    AutoConfig.for_model("mamba", vocab_size=61, hidden_size=8).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"a mamba model \(MambaForC.*\) with a recurrent"):
        HFCausalTarget.open(tmp_path)
    local: dict[str, Any] = {"num_layers": 3, "attention_types": [[["local"], 3]]}
    other = network("gpt_neo", max_position_embeddings=2048, **local)  # its window is 256
    with pytest.raises(UserError, match=r"a gpt_neo model \(GPTNeo.*\), which gives other logits"):
        checked_model(other, 2048, "random")


def test_what_raises_when_it_is_tried_is_refused_by_name() -> None:
    layers: dict[str, Any] = {"layer_types": ["conv", "full_attention", "conv"]}
    with pytest.raises(UserError, match=r"a lfm2 model \(Lfm2ForC.*does not work with"):
        target_of(network("lfm2", **layers))


def test_what_is_no_causal_model_or_is_broken_is_told(tmp_path: Path) -> None:
    cases = {
        "is a t5 model: of encoder-decoders only": lambda f: edited(f, model_type="t5"),
        "is not supported by transformers": lambda f: edited(f, model_type="nobody"),
        "is quantized, which is not supported": lambda f: edited(
            f, quantization_config={"bits": 4}
        ),
        "has neither model.safetensors nor": lambda f: (f / "model.safetensors").unlink(),
        "is not readable as safetensors": lambda f: os.truncate(f / "model.safetensors", 999),
        "with another shape: restore": lambda f: edited(f, intermediate_size=40),
        "lacks .*, which Qwen2ForCausalLM": lambda f: edited(
            f, num_hidden_layers=4, layer_types=None
        ),
        "context=0 was given": lambda f: None,
        "has no config.json": lambda f: (f / "config.json").unlink(),
    }
    for number, (told, broken) in enumerate(cases.items()):
        folder = saved(tmp_path / str(number), "qwen2")
        broken(folder)
        with pytest.raises(UserError, match=told):
            HFCausalTarget.open(folder, context=0 if "context" in told else None)


@pytest.mark.parametrize("name", ["mix-13m", "tinystories656K_hf"])
def test_a_trained_llama_says_the_same_through_both(shared: Path, name: str) -> None:
    """The native Llama and transformers': tokens, and what two drafters get accepted."""
    folder = shared / "targets" / name
    tokenizer = open_tokenizer(folder)
    prompts = [tokenizer.encode(words) for words in ("Once upon a time", "The dog")]
    told = []
    for kind in (LlamaTarget, HFCausalTarget):
        target = kind.open(folder, torch.float64)
        torch.manual_seed(0)
        drafter = LSTM(target.spec, width=16).double()
        for some in (drafter, Lookup()):
            some.bind(target)
            loop = Speculate(target, some, 3, Sampling())
            generation = loop.generate(prompts, 24)
            told.append((generation.tokens, generation.accepted))
    assert told[:2] == told[2:]


def test_any_architecture_drafts(tmp_path: Path) -> None:
    """Drafts of a GPT-2 before a Llama, lossless; and what it is trained on is what it proposes."""
    target = random_target(vocabulary=VOCABULARY)
    path = saved(tmp_path, "gpt2")
    drafter = Pretrained(target.spec, path).double()
    drafter.bind(target)
    loop = Speculate(target, drafter, 3, Sampling())
    assert (
        loop.generate(PROMPTS, 20).tokens
        == Autoregress(target, Sampling()).generate(PROMPTS, 20).tokens
    )
    text_1T = torch.tensor([PROMPTS[2]])
    batch = TrainingBatch(text_1T, torch.ones(1, text_1T.shape[1] - 1).bool(), None, None, k=3)
    states_nC = drafter.states(batch)[0, :, 0]
    wanted = network("gpt2", torch.float32).double()(text_1T).logits[0, :-1]
    assert (drafter.unembed(states_nC, 0) - wanted).abs().max() < 1e-4
    drafter.unembed(states_nC, 0).sum().backward()
    assert all(weight.grad is not None for weight in drafter.parameters())
