"""Hugging Face folders of a T5: T5 and its 1.1, FLAN-T5, mT5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from litdraft.checkpoints.hf_config import Keys, read_ends
from litdraft.checkpoints.hf_tensors import (
    HFFolder,
    Place,
    found_in,
    placed,
    read_headers,
    same_tensor,
    write_folder,
)
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.networks.t5 import T5
from litdraft.networks.t5_blocks import ACTIVATIONS, T5Config

KINDS = ("t5", "mt5")
EMBEDDING, HEAD = "shared.weight", "lm_head.weight"
# Stored again, or in the first checkpoints by mistake: transformers passes over them as well.
IGNORED = frozenset(
    {
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
    }
)


def is_t5(folder: Path) -> bool:
    """Whether a folder's config.json says so."""
    config = folder / "config.json"
    return config.is_file() and read_json(config).get("model_type") in KINDS


def read_t5_config(folder: Path) -> T5Config:
    """The T5 that a folder's config.json describes; UserError if it is none."""
    path = folder / "config.json"
    keys = Keys(path, read_json(path))
    _check_kind(folder, keys)
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


def _scaled(keys: Keys) -> bool:
    """Before transformers 5 an untied head was the mark of a T5 1.1, which does not scale."""
    if keys.values.get("scale_decoder_outputs") is not None:
        return keys.flag("scale_decoder_outputs")
    return keys.values.get("tie_word_embeddings") is not False


def _check_kind(folder: Path, keys: Keys) -> None:
    kind = keys.values.get("model_type")
    if kind in KINDS:
        return
    if keys.values.get("is_encoder_decoder") is True:
        raise UserError(
            f"{folder} is a {kind} model: of encoder-decoders only T5, FLAN-T5 and mT5 are read"
        )
    raise UserError(
        f"{folder} is a {kind} model, which has no encoder for a source: give target=llama or "
        "target=hf_causal"
    )


def _activation(keys: Keys) -> tuple[bool, str]:
    """feed_forward_proj, whose gated-gelu always meant the one of tanh."""
    told = keys.values.get("feed_forward_proj", "relu")
    gated, name = str(told).startswith("gated-"), str(told).removeprefix("gated-")
    if name not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise keys.error("feed_forward_proj", f"one of {known}, or gated- before one of them")
    return gated, "gelu_new" if told == "gated-gelu" else name


def _start(folder: Path, vocabulary: int) -> int:
    """The decoder's first token: where none is named, the padding, as T5 has it."""
    ids: tuple[int, ...] = ()
    for key in ("decoder_start_token_id", "pad_token_id"):
        for path in (folder / "config.json", folder / "generation_config.json"):
            if path.exists():
                ids += Keys(path, read_json(path)).ids(key, vocabulary)
    return next(iter(ids), 0)


def layout(config: T5Config) -> Iterator[Place]:
    """Every tensor of a folder, by Hugging Face's names."""
    yield Place(EMBEDDING, "embedding.weight", 0, (config.vocabulary, config.width))
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.layers)):
        for layer in range(layers):
            yield from _block(config, stack, layer)
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield Place(bias, f"{stack}_bias.weight", 0, (config.buckets, config.heads))
        norm = "encoder_norm" if stack == "encoder" else "norm"
        yield Place(f"{stack}.final_layer_norm.weight", f"{norm}.weight", 0, (config.width,))
    if not config.tied:
        yield Place(HEAD, "head.weight", 0, (config.vocabulary, config.width))


def _block(config: T5Config, stack: str, layer: int) -> Iterator[Place]:
    width, inner, size = config.width, config.inner, config.heads * config.head_width
    last = 1 if stack == "encoder" else 2
    rows: list[tuple[str, str, int, tuple[int, ...]]] = [
        ("0.layer_norm", "attention_norm", 0, (width,)),
        *((f"0.SelfAttention.{n}", "qkv", i * size, (size, width)) for i, n in enumerate("qkv")),
        ("0.SelfAttention.o", "out", 0, (width, size)),
        (f"{last}.layer_norm", "mlp_norm", 0, (width,)),
        (f"{last}.DenseReluDense.wo", "mlp.down", 0, (width, inner)),
    ]
    ups = ("wi_0", "wi_1") if config.gated else ("wi",)
    for number, name in enumerate(ups):
        up = f"{last}.DenseReluDense.{name}"
        rows.append((up, "mlp.up", number * inner, (inner, width)))
    if stack == "decoder":
        rows += [
            ("1.layer_norm", "cross_norm", 0, (width,)),
            ("1.EncDecAttention.q", "cross_q", 0, (size, width)),
            ("1.EncDecAttention.k", "cross_kv", 0, (size, width)),
            ("1.EncDecAttention.v", "cross_kv", size, (size, width)),
            ("1.EncDecAttention.o", "cross_out", 0, (width, size)),
        ]
    for theirs, ours, first_row, shape in rows:
        name = f"{stack}.block.{layer}.layer.{theirs}.weight"
        yield Place(name, f"{stack}.{layer}.{ours}.weight", first_row, shape)


def open_t5_folder(folder: Path) -> HFFolder[T5Config]:
    """Read config.json and the tensors' headers; UserError unless they agree."""
    config = read_t5_config(folder)
    _, eos = read_ends(folder, config.vocabulary)
    source, stored = read_headers(folder)
    tied = HEAD not in stored or same_tensor(stored, EMBEDDING, HEAD)
    config = replace(config, tied=tied)
    files = {place: found_in(place, stored, source) for place in layout(config)}
    strangers = sorted(set(stored) - {place.name for place in files} - IGNORED - {HEAD})
    if strangers:
        raise UserError(f"{source} holds {strangers[0]}, for which this T5 has no place")
    return HFFolder(folder.resolve().name, config, None, eos, files)


def save_t5_folder(
    model: T5,
    folder: str | Path,
    dtype: torch.dtype,
    eos: tuple[int, ...],
    extra_files: Iterable[str | Path] = (),
) -> None:
    """Write a folder that T5ForConditionalGeneration loads, with copies of extra_files."""
    tensors = placed(model.state_dict(), layout(model.config), dtype)
    write_folder(folder, tensors, write_t5_config(model.config, dtype, eos), extra_files)


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
        # What transformers before 5 takes for the mark of scaling as well.
        "tie_word_embeddings": config.scaled,
        "torch_dtype": dtype_name,
        "vocab_size": config.vocabulary,
    }
