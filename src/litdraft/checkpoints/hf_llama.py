"""A Llama in a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from litdraft.checkpoints.config_keys import read_special_ids
from litdraft.checkpoints.hf_config import read_config, write_config
from litdraft.checkpoints.hf_tensors import (
    HFFolder,
    StateSlice,
    Stored,
    export_tensors,
    locate,
    read_headers,
    same_tensor,
    write_folder,
)
from litdraft.errors import UserError
from litdraft.networks.llama import Llama, LlamaConfig

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def layout(config: LlamaConfig) -> Iterator[StateSlice]:
    """Every tensor of a folder, with Hugging Face's names."""
    width, inner = config.width, config.inner
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    yield StateSlice(EMBEDDING, "embedding.weight", 0, (config.vocabulary, width))
    for layer in range(config.layers):
        theirs, ours = f"model.layers.{layer}.", f"blocks.{layer}."
        for name, state, first_row, shape in (
            ("input_layernorm", "attention_norm", 0, (width,)),
            ("self_attn.q_proj", "qkv", 0, (queries, width)),
            ("self_attn.k_proj", "qkv", queries, (keys, width)),
            ("self_attn.v_proj", "qkv", queries + keys, (keys, width)),
            ("self_attn.o_proj", "out", 0, (width, queries)),
            ("post_attention_layernorm", "mlp_norm", 0, (width,)),
            ("mlp.gate_proj", "gate_up", 0, (inner, width)),
            ("mlp.up_proj", "gate_up", inner, (inner, width)),
            ("mlp.down_proj", "down", 0, (width, inner)),
        ):
            yield StateSlice(f"{theirs}{name}.weight", f"{ours}{state}.weight", first_row, shape)
    yield StateSlice("model.norm.weight", "norm.weight", 0, (width,))
    if not config.tied:
        yield StateSlice(HEAD, "head.weight", 0, (config.vocabulary, width))


def open_hf_folder(folder: Path) -> HFFolder[LlamaConfig]:
    """Read config.json and the tensors' headers; UserError unless they agree."""
    config = read_config(folder / "config.json")
    bos, eos = read_special_ids(folder, config.vocabulary)
    source, stored = read_headers(folder)
    config = replace(config, tied=config.tied and same_tensor(stored, EMBEDDING, HEAD))
    files = {slice_: locate(slice_, stored, source) for slice_ in _slices(config, stored)}
    _reject_unknown_tensors(config, set(stored) - {slice_.name for slice_ in files}, source)
    return HFFolder(folder.resolve().name, config, bos, eos, files)


def _slices(config: LlamaConfig, stored: dict[str, Stored]) -> Iterator[StateSlice]:
    for slice_ in layout(config):
        only_head = slice_.name == EMBEDDING and EMBEDDING not in stored and HEAD in stored
        yield slice_._replace(name=HEAD) if config.tied and only_head else slice_


def _reject_unknown_tensors(config: LlamaConfig, names: set[str], source: Path) -> None:
    """UserError for a tensor that would be ignored: then this would be a different model."""
    known = (HEAD,) if config.tied else ()
    unknown = sorted(n for n in names if n not in known and not n.endswith("rotary_emb.inv_freq"))
    if unknown:
        raise UserError(f"{source} has {unknown[0]}, which this Llama does not have")


def save_hf_folder(
    model: Llama,
    folder: str | Path,
    dtype: torch.dtype,
    bos: int | None,
    eos: tuple[int, ...],
    extra_files: Iterable[str | Path] = (),
) -> None:
    """Write a folder that LlamaForCausalLM and serving engines load, with copies of extra_files."""
    tensors = export_tensors(model.state_dict(), layout(model.config), dtype)
    write_folder(folder, tensors, write_config(model.config, dtype, bos, eos), extra_files)
