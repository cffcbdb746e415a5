"""A T5 in a Hugging Face folder: T5 and its 1.1, FLAN-T5, mT5."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from litdraft.checkpoints.config_keys import read_special_ids
from litdraft.checkpoints.hf_t5_config import read_t5_config, write_t5_config
from litdraft.checkpoints.hf_tensors import (
    HFFolder,
    StateSlice,
    export_tensors,
    locate,
    read_headers,
    same_tensor,
    write_folder,
)
from litdraft.errors import UserError
from litdraft.networks.t5 import T5
from litdraft.networks.t5_blocks import T5Config

EMBEDDING, HEAD = "shared.weight", "lm_head.weight"
# Copies, or in the first checkpoints a mistake; transformers ignores them too.
IGNORED = frozenset(
    {
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",
    }
)


def layout(config: T5Config) -> Iterator[StateSlice]:
    """Every tensor of a folder, with Hugging Face's names."""
    yield StateSlice(EMBEDDING, "embedding.weight", 0, (config.vocabulary, config.width))
    for stack, layers in (("encoder", config.encoder_layers), ("decoder", config.layers)):
        for layer in range(layers):
            yield from _block(config, stack, layer)
        bias = f"{stack}.block.0.layer.0.SelfAttention.relative_attention_bias.weight"
        yield StateSlice(bias, f"{stack}_bias.weight", 0, (config.buckets, config.heads))
        norm = "encoder_norm" if stack == "encoder" else "norm"
        yield StateSlice(f"{stack}.final_layer_norm.weight", f"{norm}.weight", 0, (config.width,))
    if not config.tied:
        yield StateSlice(HEAD, "head.weight", 0, (config.vocabulary, config.width))


def _block(config: T5Config, stack: str, layer: int) -> Iterator[StateSlice]:
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
        yield StateSlice(name, f"{stack}.{layer}.{ours}.weight", first_row, shape)


def open_t5_folder(folder: Path) -> HFFolder[T5Config]:
    """Read config.json and the tensors' headers; UserError unless they agree."""
    config = read_t5_config(folder)
    _, eos = read_special_ids(folder, config.vocabulary)
    source, stored = read_headers(folder)
    tied = HEAD not in stored or same_tensor(stored, EMBEDDING, HEAD)
    config = replace(config, tied=tied)
    files = {slice_: locate(slice_, stored, source) for slice_ in layout(config)}
    unknown = sorted(set(stored) - {slice_.name for slice_ in files} - IGNORED - {HEAD})
    if unknown:
        raise UserError(f"{source} has {unknown[0]}, which this T5 does not have")
    return HFFolder(folder.resolve().name, config, None, eos, files)


def save_t5_folder(
    model: T5,
    folder: str | Path,
    dtype: torch.dtype,
    eos: tuple[int, ...],
    extra_files: Iterable[str | Path] = (),
) -> None:
    """Write a folder that T5ForConditionalGeneration loads, with copies of extra_files."""
    tensors = export_tensors(model.state_dict(), layout(model.config), dtype)
    write_folder(folder, tensors, write_t5_config(model.config, dtype, eos), extra_files)
