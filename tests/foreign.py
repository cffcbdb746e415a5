"""Small random models of transformers' architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

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


def network(kind: str, dtype: torch.dtype = torch.float64, **sizes: Any) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **{**PLAIN, **ARCHITECTURES.get(kind, {}), **sizes})
    config._experts_implementation = "eager"  # the grouped product knows no float64
    model = AutoModelForCausalLM.from_config(config, dtype=dtype, attn_implementation="eager")
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.2 if weight.shape[0] == config.vocab_size else 0.6)
            else:
                weight.normal_(0.0 if name.endswith("bias") else 1.0, 0.1)
    return model.eval()


def saved(folder: Path, kind: str, **sizes: Any) -> Path:
    network(kind, torch.float32, **sizes).save_pretrained(folder)
    return folder
