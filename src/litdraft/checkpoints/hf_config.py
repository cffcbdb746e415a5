"""Hugging Face's config.json of a Llama: reading and writing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from litdraft.checkpoints.config_keys import ConfigKeys
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.networks.llama import LlamaConfig, RopeScaling


def read_config(path: Path) -> LlamaConfig:
    """The Llama that a config.json describes; UserError if it is not one, or not supported."""
    keys = ConfigKeys(path, read_json(path))
    if keys.values.get("is_encoder_decoder") is True:
        raise UserError(
            f"{path} describes a {keys.values.get('model_type')} model: of encoder-decoders only "
            "T5, FLAN-T5 and mT5 are supported, by target=seq2seq or drafter=pretrained"
        )
    keys.require("model_type", None, "llama")
    keys.require("hidden_act", "silu", "silu")
    keys.require("attention_bias", False, False)
    keys.require("mlp_bias", False, False)
    keys.require("quantization_config", None, None)
    width, heads = keys.count("hidden_size"), keys.count("num_attention_heads")
    if keys.values.get("head_dim") is None and width % heads:
        raise keys.error("hidden_size", f"a multiple of the {heads} attention heads")
    head_width = keys.count("head_dim", width // heads)
    kv_heads = keys.count("num_key_value_heads", heads)
    if heads % kv_heads:
        raise keys.error("num_key_value_heads", f"a divisor of the {heads} attention heads")
    if head_width % 2:
        raise UserError(
            f"{path}: head_dim is {head_width}, but rotary positions need an even width"
        )
    theta, scaling = _read_rope(keys)
    return LlamaConfig(
        vocabulary=keys.count("vocab_size"),
        width=width,
        layers=keys.count("num_hidden_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        inner=keys.count("intermediate_size"),
        context=keys.count("max_position_embeddings"),
        norm_eps=keys.number("rms_norm_eps", 1e-6),
        rope_theta=theta,
        rope_scaling=scaling,
        tied=keys.flag("tie_word_embeddings"),
    )


def _read_rope(keys: ConfigKeys) -> tuple[float, RopeScaling | None]:
    """Rotary base and scaling, from `rope_parameters`, or `rope_theta` and `rope_scaling`."""
    theta = keys.number("rope_theta", 10000.0)
    rope = keys.keys("rope_scaling") or keys.keys("rope_parameters")
    if rope is None:
        return theta, None
    theta = rope.number("rope_theta", theta)
    rope.require("partial_rotary_factor", 1.0, 1.0)
    key = "rope_type" if rope.values.get("rope_type") is not None else "type"
    if rope.values.get(key, "default") == "default":
        return theta, None
    if rope.values[key] != "llama3":
        raise rope.error(key, "'default' or 'llama3'")
    scaling = RopeScaling(
        factor=rope.number("factor"),
        low_freq_factor=rope.number("low_freq_factor"),
        high_freq_factor=rope.number("high_freq_factor"),
        original_context=rope.count(
            "original_max_position_embeddings", keys.count("max_position_embeddings")
        ),
    )
    if scaling.high_freq_factor <= scaling.low_freq_factor:
        raise rope.error("high_freq_factor", f"above low_freq_factor {scaling.low_freq_factor}")
    return theta, scaling


def write_config(
    config: LlamaConfig, dtype: torch.dtype, bos: int | None, eos: tuple[int, ...]
) -> dict[str, Any]:
    """config.json for LlamaForCausalLM; rope under the keys of transformers 5 and of 4."""
    scaling = _write_scaling(config.rope_scaling)
    dtype_name = str(dtype).removeprefix("torch.")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "attention_bias": False,
        "bos_token_id": bos,
        "dtype": dtype_name,
        "eos_token_id": eos[0] if len(eos) == 1 else list(eos) or None,
        "head_dim": config.head_width,
        "hidden_act": "silu",
        "hidden_size": config.width,
        "intermediate_size": config.inner,
        "max_position_embeddings": config.context,
        "mlp_bias": False,
        "num_attention_heads": config.heads,
        "num_hidden_layers": config.layers,
        "num_key_value_heads": config.kv_heads,
        "rms_norm_eps": config.norm_eps,
        "rope_parameters": {
            "rope_theta": config.rope_theta,
            **(scaling or {"rope_type": "default"}),
        },
        "rope_scaling": scaling,
        "rope_theta": config.rope_theta,
        "tie_word_embeddings": config.tied,
        "torch_dtype": dtype_name,
        "vocab_size": config.vocabulary,
    }


def _write_scaling(scaling: RopeScaling | None) -> dict[str, Any] | None:
    if scaling is None:
        return None
    return {
        "rope_type": "llama3",
        "factor": scaling.factor,
        "low_freq_factor": scaling.low_freq_factor,
        "high_freq_factor": scaling.high_freq_factor,
        "original_max_position_embeddings": scaling.original_context,
    }
