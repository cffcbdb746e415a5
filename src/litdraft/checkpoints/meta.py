"""Meta's own Llama folders: params.json and consolidated.00.pth, .01.pth and so on.

Names, shapes and rotary pairs are those of `model.py` in github.com/meta-llama/llama and
llama-models. Each of several files comes from one model-parallel rank: it has some rows or some
columns of every matrix, and every norm completely.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from litdraft.checkpoints.base import Part
from litdraft.checkpoints.config_keys import ConfigKeys
from litdraft.checkpoints.llama2c_layout import half_rotation
from litdraft.checkpoints.meta_params import read_params, special_ids
from litdraft.checkpoints.meta_shards import SHARDS, Shards, in_every_shard, load_shards
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.networks.llama import LlamaConfig

PARAMS = "params.json"
EMBEDDING, HEAD, NORM = "tok_embeddings.weight", "output.weight", "norm.weight"
QUERIES, GATE = "layers.0.attention.wq.weight", "layers.0.feed_forward.w1.weight"
UNUSED = "rope.freqs"  # Llama 2's rotary frequencies: Llama computes its own
FLOATS = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})


class StateSlice(NamedTuple):
    """Which rows of Llama's state an unsplit tensor fills.

    heads > 0 marks query or key rows, whose rotary pairs are adjacent rows in this format.
    """

    name: str
    state: str
    shape: tuple[int, ...]
    first_row: int = 0
    heads: int = 0


@dataclass(frozen=True)
class MetaFolder:
    """An opened folder; the tensors of its shards are mapped from the files."""

    name: str
    config: LlamaConfig
    bos: int
    eos: tuple[int, ...]
    shards: Shards

    def parts(self) -> Iterator[Part]:
        for slice_ in layout(self.config):
            for number, shard in enumerate(self.shards.values()):
                values = shard[slice_.name]
                values = half_rotation(values, slice_.heads * len(values) // slice_.shape[0])
                # A dimension that is not split is complete in every shard and starts at 0.
                first_row, *columns = (
                    number * size % whole
                    for size, whole in zip(values.shape, slice_.shape, strict=True)
                )
                yield Part(slice_.state, slice_.first_row + first_row, values, *columns)


def layout(config: LlamaConfig) -> Iterator[StateSlice]:
    """Every tensor of a folder, with Meta's names and unsplit shapes."""
    width, inner, heads, kv_heads = config.width, config.inner, config.heads, config.kv_heads
    queries, keys = heads * config.head_width, kv_heads * config.head_width
    yield StateSlice(EMBEDDING, "embedding.weight", (config.vocabulary, width))
    for layer in range(config.layers):
        for name, state, *where in (
            ("attention_norm", "attention_norm", (width,)),
            ("attention.wq", "qkv", (queries, width), 0, heads),
            ("attention.wk", "qkv", (keys, width), queries, kv_heads),
            ("attention.wv", "qkv", (keys, width), queries + keys),
            ("attention.wo", "out", (width, queries)),
            ("ffn_norm", "mlp_norm", (width,)),
            ("feed_forward.w1", "gate_up", (inner, width)),
            ("feed_forward.w3", "gate_up", (inner, width), inner),
            ("feed_forward.w2", "down", (width, inner)),
        ):
            yield StateSlice(
                f"layers.{layer}.{name}.weight", f"blocks.{layer}.{state}.weight", *where
            )
    yield StateSlice(NORM, "norm.weight", (width,))
    if not config.tied:
        yield StateSlice(HEAD, "head.weight", (config.vocabulary, width))


def is_meta(folder: Path) -> bool:
    """Whether a folder has Meta's files, and no Hugging Face config.json."""
    has_files = (folder / PARAMS).exists() or any(folder.glob(SHARDS))
    return has_files and not (folder / "config.json").exists()


def open_meta(folder: Path) -> MetaFolder:
    """Map the shards and check them against params.json; UserError unless they agree."""
    keys = ConfigKeys(folder / PARAMS, read_json(folder / PARAMS))
    shards = load_shards(folder)
    _check_count(keys, shards)
    # Rows, however the tensors are split: numbers / width. The shapes are checked below.
    vocabulary, inner = (
        sum(tensor.numel() for tensor in in_every_shard(shards, name)) // keys.count("dim")
        for name in (EMBEDDING, GATE)
    )
    config = read_params(keys, vocabulary, inner, _tied(shards))
    if config.kv_heads % len(shards):
        raise UserError(
            f"{folder} splits {config.kv_heads} key heads over {len(shards)} shards: "
            "give a checkpoint with whole key heads in every shard"
        )
    slices = list(layout(config))
    for slice_ in slices:
        _check(slice_, shards, folder)
    _reject_unknown_tensors({slice_.name for slice_ in slices} | {UNUSED, HEAD}, shards)
    return MetaFolder(folder.resolve().name, config, *special_ids(vocabulary), shards)


def _check_count(keys: ConfigKeys, shards: Shards) -> None:
    """UserError if dim is not the tensors' width, or if shards are missing."""
    width = keys.count("dim")
    if (shape := list(in_every_shard(shards, NORM)[0].shape)) != [width]:
        raise keys.error("dim", f"the width of {NORM}, whose shape is {shape}")
    needed = width * width // max(in_every_shard(shards, QUERIES)[0].numel(), 1)
    if needed > len(shards):
        raise UserError(
            f"{keys.path.parent} has {len(shards)} of {needed} shards: "
            f"add consolidated.{len(shards):02}.pth and the following ones"
        )


def _tied(shards: Shards) -> bool:
    """Whether the output is the embedding, as in Llama 3.2's small models: missing, or equal."""
    return all(
        HEAD not in tensors or torch.equal(tensors[EMBEDDING], tensors[HEAD])
        for tensors in shards.values()
    )


def _check(slice_: StateSlice, shards: Shards, folder: Path) -> None:
    """UserError unless a tensor's shards are floats of one shape and together have its shape.

    The shape shows how a tensor is split: Llama 2's embedding by columns, Llama 3's by rows.
    """
    tensors = in_every_shard(shards, slice_.name)
    shapes = dict.fromkeys(tensor.shape for tensor in tensors)
    if len(shapes) > 1 or slice_.shape not in _unsplit_shapes(tensors[0].shape, len(shards)):
        raise UserError(
            f"{folder}: {slice_.name} has shape {' and '.join(str(list(s)) for s in shapes)} in "
            f"its {len(shards)} .pth files, but {PARAMS} requires {list(slice_.shape)} in all"
        )
    for tensor in tensors:
        if tensor.dtype not in FLOATS:
            raise UserError(
                f"{folder}: {slice_.name} is stored as {str(tensor.dtype).removeprefix('torch.')}, "
                "but only floats of 16 bits or more are read: give unquantized weights"
            )


def _unsplit_shapes(shape: tuple[int, ...], count: int) -> set[tuple[int, ...]]:
    """The shapes that `count` shards may form: a matrix split by rows or columns, or a norm."""
    if len(shape) != 2:
        return {shape}
    rows, columns = shape
    return {(rows * count, columns), (rows, columns * count)}


def _reject_unknown_tensors(known: set[str], shards: Shards) -> None:
    """UserError for a tensor that would be ignored: then this would be a different model."""
    for path, tensors in shards.items():
        for name in sorted(tensors.keys() - known):
            raise UserError(f"{path} has {name}, which this Llama does not have")
