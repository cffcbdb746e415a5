"""Hugging Face's config.json of a Llama, both ways."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.networks.llama import LlamaConfig, RopeScaling


@dataclass(frozen=True)
class Keys:
    """A JSON object whose look-ups are typed and whose errors name file and key.

    null counts as absent; without a default an absent key is an error.
    """

    path: Path
    values: dict[str, Any]

    def count(self, key: str, default: int | None = None) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, "a whole number above 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not math.isfinite(value) or value <= 0:
            raise self.error(key, "a number above 0")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self._get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def keys(self, key: str) -> Keys | None:
        """The object under a key; None if it is absent or empty."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return Keys(self.path, value) if value else None

    def ids(self, key: str, vocabulary: int) -> tuple[int, ...]:
        """The token ids under a key, given as one number or as a list; () if it is absent."""
        value = self._get(key, [])
        ids = value if isinstance(value, list) else [value]
        if not all(type(i) is int and 0 <= i < vocabulary for i in ids):
            raise self.error(key, f"token ids below the vocabulary of {vocabulary}")
        return tuple(ids)

    def require(self, key: str, default: object, expected: object) -> None:
        """UserError unless the key has the one value that this reader knows."""
        if self._get(key, default) != expected:
            raise self.error(key, f"{expected!r}, the only value that is read")

    def error(self, key: str, expected: str) -> UserError:
        given = repr(self.values[key]) if key in self.values else "missing"
        return UserError(f"{self.path}: {key} is {given}, but must be {expected}")

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        return default if value is None else value


def read_config(path: Path) -> LlamaConfig:
    """The Llama that a config.json describes; UserError if it is none, or one not read here."""
    keys = Keys(path, read_json(path))
    if keys.values.get("is_encoder_decoder") is True:
        raise UserError(
            f"{path} describes a {keys.values.get('model_type')} model: of encoder-decoders only "
            "T5, FLAN-T5 and mT5 are read, by target=seq2seq or drafter=pretrained"
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
        raise UserError(f"{path}: heads are {head_width} wide, but rotary positions need pairs")
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


def _read_rope(keys: Keys) -> tuple[float, RopeScaling | None]:
    """Base and scaling, from `rope_parameters` or from `rope_theta` and `rope_scaling`."""
    theta = keys.number("rope_theta", 10000.0)
    rope = keys.keys("rope_scaling") or keys.keys("rope_parameters")
    if rope is None:
        return theta, None
    theta = rope.number("rope_theta", theta)
    rope.require("partial_rotary_factor", 1.0, 1.0)
    kind = "rope_type" if rope.values.get("rope_type") is not None else "type"
    if rope.values.get(kind, "default") == "default":
        return theta, None
    if rope.values[kind] != "llama3":
        raise rope.error(kind, "'default' or 'llama3'")
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


def read_ends(folder: Path, vocabulary: int) -> tuple[int | None, tuple[int, ...]]:
    """BOS, and every id that ends a text, from config.json and generation_config.json."""
    bos: tuple[int, ...] = ()
    eos: tuple[int, ...] = ()
    for path in (folder / "config.json", folder / "generation_config.json"):
        if path.exists():
            keys = Keys(path, read_json(path))
            bos += keys.ids("bos_token_id", vocabulary)
            eos += keys.ids("eos_token_id", vocabulary)
    return next(iter(bos), None), tuple(dict.fromkeys(eos))


def write_config(
    config: LlamaConfig, dtype: torch.dtype, bos: int | None, eos: tuple[int, ...]
) -> dict[str, Any]:
    """config.json for LlamaForCausalLM; rope in the words of transformers 5 and of 4."""
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
