"""Meta's own Llama folders: params.json beside consolidated.00.pth, .01.pth and so on.

Names, shapes and rotary pairs are those of `model.py` in github.com/meta-llama/llama and
llama-models. Each of several files was written by one model-parallel rank: it holds some rows or
some columns of every matrix, and the whole of every norm.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch

from litdraft.checkpoints.base import Part
from litdraft.checkpoints.hf_config import Keys
from litdraft.checkpoints.llama2c_layout import half_rotation
from litdraft.checkpoints.meta_params import ends, read_params
from litdraft.checkpoints.meta_shards import SHARDS, Shards, everywhere, load_shards
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.networks.llama import LlamaConfig

PARAMS = "params.json"
EMBEDDING, HEAD, NORM = "tok_embeddings.weight", "output.weight", "norm.weight"
QUERIES, GATE = "layers.0.attention.wq.weight", "layers.0.feed_forward.w1.weight"
UNUSED = "rope.freqs"  # Llama 2's rotary frequencies: Llama computes its own
FLOATS = frozenset({torch.float64, torch.float32, torch.float16, torch.bfloat16})


class Place(NamedTuple):
    """Where a tensor, whole, stands in Llama's state.

    heads > 0 marks query or key rows, whose rotary pairs are neighbours in this format.
    """

    name: str
    state: str
    shape: tuple[int, ...]
    first_row: int = 0
    heads: int = 0


@dataclass(frozen=True)
class MetaFolder:
    """An opened folder; the tensors of its shards are mapped from their files."""

    name: str
    config: LlamaConfig
    bos: int
    eos: tuple[int, ...]
    shards: Shards

    def parts(self) -> Iterator[Part]:
        for place in layout(self.config):
            for number, shard in enumerate(self.shards.values()):
                values = shard[place.name]
                values = half_rotation(values, place.heads * len(values) // place.shape[0])
                # A dimension that is not split is whole in every shard, and begins at 0 again.
                first_row, *columns = (
                    number * size % whole
                    for size, whole in zip(values.shape, place.shape, strict=True)
                )
                yield Part(place.state, place.first_row + first_row, values, *columns)


def layout(config: LlamaConfig) -> Iterator[Place]:
    """Every tensor of a folder, by Meta's names and as if there were one shard."""
    width, inner, heads, kv_heads = config.width, config.inner, config.heads, config.kv_heads
    queries, keys = heads * config.head_width, kv_heads * config.head_width
    yield Place(EMBEDDING, "embedding.weight", (config.vocabulary, width))
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
            yield Place(f"layers.{layer}.{name}.weight", f"blocks.{layer}.{state}.weight", *where)
    yield Place(NORM, "norm.weight", (width,))
    if not config.tied:
        yield Place(HEAD, "head.weight", (config.vocabulary, width))


def is_meta(folder: Path) -> bool:
    """Whether a folder without a config.json of Hugging Face's holds anything of Meta's."""
    own = (folder / PARAMS).exists() or any(folder.glob(SHARDS))
    return own and not (folder / "config.json").exists()


def open_meta(folder: Path) -> MetaFolder:
    """Map the shards and hold them against params.json; UserError unless they agree."""
    keys = Keys(folder / PARAMS, read_json(folder / PARAMS))
    shards = load_shards(folder)
    _check_count(keys, shards)
    # Rows, however they are split: numbers by width. The shapes are checked below.
    vocabulary, inner = (
        sum(tensor.numel() for tensor in everywhere(shards, name)) // keys.count("dim")
        for name in (EMBEDDING, GATE)
    )
    config = read_params(keys, vocabulary, inner, _tied(shards))
    if config.kv_heads % len(shards):
        raise UserError(
            f"{folder} splits {config.kv_heads} key heads over {len(shards)} shards: "
            "give a checkpoint whose shards hold whole ones"
        )
    places = list(layout(config))
    for place in places:
        _check(place, shards, folder)
    _refuse_strangers({place.name for place in places} | {UNUSED, HEAD}, shards)
    return MetaFolder(folder.resolve().name, config, *ends(vocabulary), shards)


def _check_count(keys: Keys, shards: Shards) -> None:
    """UserError if dim is not the tensors' width, or says that there were more shards."""
    width = keys.count("dim")
    if (shape := list(everywhere(shards, NORM)[0].shape)) != [width]:
        raise keys.error("dim", f"the width of {NORM}, whose shape is {shape}")
    needed = width * width // max(everywhere(shards, QUERIES)[0].numel(), 1)
    if needed > len(shards):
        raise UserError(
            f"{keys.path.parent} holds {len(shards)} of {needed} shards: "
            f"add consolidated.{len(shards):02}.pth and what follows"
        )


def _tied(shards: Shards) -> bool:
    """Whether the output is the embedding, as in Llama 3.2's small ones: left out, or equal."""
    return all(
        HEAD not in tensors or torch.equal(tensors[EMBEDDING], tensors[HEAD])
        for tensors in shards.values()
    )


def _check(place: Place, shards: Shards, folder: Path) -> None:
    """UserError unless a tensor's shards are floats of one shape and make up the place's.

    The shape alone tells how it was split: Llama 2's embedding by columns, Llama 3's by rows.
    """
    tensors = everywhere(shards, place.name)
    shapes = dict.fromkeys(tensor.shape for tensor in tensors)
    if len(shapes) > 1 or place.shape not in _wholes(tensors[0].shape, len(shards)):
        raise UserError(
            f"{folder}: {place.name} has shape {' and '.join(str(list(s)) for s in shapes)} in "
            f"its {len(shards)} .pth, but {PARAMS} asks for {list(place.shape)} in all"
        )
    for tensor in tensors:
        if tensor.dtype not in FLOATS:
            raise UserError(
                f"{folder}: {place.name} is stored as {str(tensor.dtype).removeprefix('torch.')}, "
                "but only floats of 16 bits and more are read: give weights that are not quantized"
            )


def _wholes(shape: tuple[int, ...], count: int) -> set[tuple[int, ...]]:
    """What `count` shards of a shape may make up: a matrix by rows or by columns, a norm itself."""
    if len(shape) != 2:
        return {shape}
    rows, columns = shape
    return {(rows * count, columns), (rows, columns * count)}


def _refuse_strangers(known: set[str], shards: Shards) -> None:
    """A tensor that would be ignored makes another model than the folder's."""
    for path, tensors in shards.items():
        for name in sorted(tensors.keys() - known):
            raise UserError(f"{path} holds {name}, for which this Llama has no place")
