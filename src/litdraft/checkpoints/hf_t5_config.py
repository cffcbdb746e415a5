"""Hugging Face's config.json of a T5 (T5 and its 1.1, FLAN-T5, mT5): reading and writing it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from litdraft.checkpoints.config_keys import ConfigKeys
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.networks.t5_blocks import ACTIVATIONS, T5Config

MODEL_TYPES = ("t5", "mt5")


def is_t5(folder: Path) -> bool:
    """Whether a folder's config.json describes a T5."""
    config = folder / "config.json"
    return config.is_file() and read_json(config).get("model_type") in MODEL_TYPES


def read_t5_config(folder: Path) -> T5Config:
    """The T5 that a folder's config.json describes; UserError if it is not one."""
    path = folder / "config.json"
    keys = ConfigKeys(path, read_json(path))
    _check_model_type(folder, keys)
    keys.require("quantization_config", None, None)
    gated, activation = _activation(keys)
    vocabulary, layers = keys.count("vocab_size"), keys.count("num_layers")
    return T5Config(
        vocabulary=vocabulary,
        width=keys.count("d_model"),
        encoder_layers=layers,
        layers=keys.count("num_decoder_layers", layers),
        heads=keys.count("num_heads"),
        head_width=keys.count("d_kv"),
        inner=keys.count("d_ff"),
        start=_start(folder, vocabulary),
        limit=keys.count("n_positions", 512),
        buckets=keys.count("relative_attention_num_buckets", 32),
        reach=keys.count("relative_attention_max_distance", 128),
        norm_eps=keys.number("layer_norm_epsilon", 1e-6),
        gated=gated,
        activation=activation,
        scaled=_scaled(keys),
    )


def _scaled(keys: ConfigKeys) -> bool:
    """Whether the decoder's outputs are scaled. Before transformers 5 an untied head marked a T5
    1.1, which does not scale them."""
    if keys.values.get("scale_decoder_outputs") is not None:
        return keys.flag("scale_decoder_outputs")
    return keys.values.get("tie_word_embeddings") is not False


def _check_model_type(folder: Path, keys: ConfigKeys) -> None:
    model_type = keys.values.get("model_type")
    if model_type in MODEL_TYPES:
        return
    if keys.values.get("is_encoder_decoder") is True:
        raise UserError(
            f"{folder} is a {model_type} model: of encoder-decoders only T5, FLAN-T5 and mT5 are "
            "supported"
        )
    raise UserError(
        f"{folder} is a {model_type} model, which has no encoder: give target=llama or "
        "target=hf_causal"
    )


def _activation(keys: ConfigKeys) -> tuple[bool, str]:
    """feed_forward_proj, in which gated-gelu always means the tanh variant."""
    value = keys.values.get("feed_forward_proj", "relu")
    gated, name = str(value).startswith("gated-"), str(value).removeprefix("gated-")
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise keys.error("feed_forward_proj", f"one of {known}, or gated- before one of them")
    return gated, "gelu_new" if value == "gated-gelu" else name


def _start(folder: Path, vocabulary: int) -> int:
    """The decoder's first token; if none is named, the padding token, as in T5."""
    ids: tuple[int, ...] = ()
    for key in ("decoder_start_token_id", "pad_token_id"):
        for path in (folder / "config.json", folder / "generation_config.json"):
            if path.exists():
                ids += ConfigKeys(path, read_json(path)).ids(key, vocabulary)
    return next(iter(ids), 0)


def write_t5_config(config: T5Config, dtype: torch.dtype, eos: tuple[int, ...]) -> dict[str, Any]:
    """config.json for T5ForConditionalGeneration of transformers 5 and 4."""
    names = {"gelu_new": "gelu"} if config.gated else {}
    activation = names.get(config.activation, config.activation)
    dtype_name = str(dtype).removeprefix("torch.")
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "d_ff": config.inner,
        "d_kv": config.head_width,
        "d_model": config.width,
        "decoder_start_token_id": config.start,
        "dropout_rate": 0.0,
        "dtype": dtype_name,
        "eos_token_id": eos[0] if len(eos) == 1 else list(eos) or None,
        "feed_forward_proj": f"gated-{activation}" if config.gated else activation,
        "is_encoder_decoder": True,
        "layer_norm_epsilon": config.norm_eps,
        "n_positions": config.limit,
        "num_decoder_layers": config.layers,
        "num_heads": config.heads,
        "num_layers": config.encoder_layers,
        "pad_token_id": config.start,
        "relative_attention_max_distance": config.reach,
        "relative_attention_num_buckets": config.buckets,
        "scale_decoder_outputs": config.scaled,
        # transformers before 5 takes this as the mark of scaling.
        "tie_word_embeddings": config.scaled,
        "torch_dtype": dtype_name,
        "vocab_size": config.vocabulary,
    }
