"""Transformers' causal models behind our cache: their own `generate` is the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.fakes import lstm
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.models.hf_open import proven
from litdraft.sampling import Sampling
from litdraft.targets.hf_causal import HFCausalTarget

VOCABULARY, TOKENS, WINDOW = 61, 24, 6
PROMPTS = [[1, 5, 6, 7, 5, 6, 7, 5], [1, 9, 4], [1, 3, 4, 3, 4, 3, 4, 8, 2, 3, 4]]
PLAIN = {
    "vocab_size": VOCABULARY, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 128,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
ALTERNATING = {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "mistral": {"sliding_window": WINDOW},
    "qwen2": {},
    "qwen3": {"head_dim": 12},
    "gemma2": {"sliding_window": WINDOW, "query_pre_attn_scalar": 8, "head_dim": 8},
    "gemma3_text": {"sliding_window": WINDOW, "head_dim": 8, **ALTERNATING},
    "gpt2": {},
    "phi": {"num_key_value_heads": 4},
    "gpt_neox": {},
    "falcon": {"alibi": False},
    "bloom": {},  # a bias for each key instead of positions
    "opt": {"ffn_dim": 48, "word_embed_proj_dim": 32},
    "olmo2": {},
    "cohere": {"logit_scale": 0.3},
    "granite": {"logits_scaling": 3.0, "embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "stablelm": {},
    "mixtral": {"num_local_experts": 4},
}


def network(kind: str, dtype: torch.dtype = torch.float64) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**PLAIN, **ARCHITECTURES[kind]})
    config._experts_implementation = "eager"  # the grouped product knows no float64
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.2 if weight.shape[0] == VOCABULARY else 0.6)
            else:
                weight.normal_(0.0 if name.endswith("bias") else 1.0, 0.1)
    return model.eval()


def target_of(model: Any) -> HFCausalTarget:
    return HFCausalTarget(proven(model, 128, "random"), "random", bos=1, eos=(2,))


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
