"""Hugging Face folders of a Llama."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import torch

from litdraft.checkpoints.hf_config import read_config, read_ends, write_config
from litdraft.checkpoints.hf_tensors import (
    HFFolder,
    Place,
    Stored,
    found_in,
    placed,
    read_headers,
    same_tensor,
    write_folder,
)
from litdraft.errors import UserError
from litdraft.networks.llama import Llama, LlamaConfig

EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"


def layout(config: LlamaConfig) -> Iterator[Place]:
    """Every tensor of a folder, by Hugging Face's names."""
    width, inner = config.width, config.inner
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    yield Place(EMBEDDING, "embedding.weight", 0, (config.vocabulary, width))
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
            yield Place(f"{theirs}{name}.weight", f"{ours}{state}.weight", first_row, shape)
    yield Place("model.norm.weight", "norm.weight", 0, (width,))
    if not config.tied:
        yield Place(HEAD, "head.weight", 0, (config.vocabulary, width))


def open_hf_folder(folder: Path) -> HFFolder[LlamaConfig]:
    """Read config.json and the tensors' headers; UserError unless they agree."""
    config = read_config(folder / "config.json")
    bos, eos = read_ends(folder, config.vocabulary)
    source, stored = read_headers(folder)
    config = replace(config, tied=config.tied and same_tensor(stored, EMBEDDING, HEAD))
    files = {place: found_in(place, stored, source) for place in _places(config, stored)}
    _refuse_strangers(config, set(stored) - {place.name for place in files}, source)
    return HFFolder(folder.resolve().name, config, bos, eos, files)


def _places(config: LlamaConfig, stored: dict[str, Stored]) -> Iterator[Place]:
    for place in layout(config):
        once_as_head = config.tied and place.name == EMBEDDING and EMBEDDING not in stored
        yield place._replace(name=HEAD) if once_as_head and HEAD in stored else place


def _refuse_strangers(config: LlamaConfig, names: set[str], source: Path) -> None:
    """A tensor that would be ignored makes another model than the folder's."""
    known = (HEAD,) if config.tied else ()
    strangers = sorted(n for n in names if n not in known and not n.endswith("rotary_emb.inv_freq"))
    if strangers:
        raise UserError(f"{source} holds {strangers[0]}, for which this Llama has no place")


def save_hf_folder(
    model: Llama,
    folder: str | Path,
    dtype: torch.dtype,
    bos: int | None,
    eos: tuple[int, ...],
    extra_files: Iterable[str | Path] = (),
) -> None:
    """Write a folder that LlamaForCausalLM and serving engines load, with copies of extra_files."""
    tensors = placed(model.state_dict(), layout(model.config), dtype)
    write_folder(folder, tensors, write_config(model.config, dtype, bos, eos), extra_files)
