"""llama2.c's version-0 checkpoints: seven integers, then float32 weights, nothing named.

The layout is that of `legacy_export` in github.com/karpathy/llama2.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.models.checkpoint import Part
from litdraft.models.llama import LlamaConfig

HEADER = struct.Struct("<7i")
MAGIC = 0x616B3432  # "ak42": versions 1 and 2


class Section(NamedTuple):
    """One weight of the file; all its layers stand together. `state` None: of no use to Llama.

    heads > 0 marks query or key rows, whose rotary pairs are neighbours in this format.
    """

    state: str | None
    shape: tuple[int, ...]
    layers: int = 1
    first_row: int = 0
    heads: int = 0


@dataclass(frozen=True)
class Llama2C:
    """An opened version-0 checkpoint. run.c ends a text at BOS too, so both end it here."""

    path: Path
    config: LlamaConfig
    bos: int | None = 1
    eos: tuple[int, ...] = (1, 2)

    @property
    def name(self) -> str:
        return self.path.stem

    def parts(self) -> Iterator[Part]:
        # Copy on write, because torch wants to be allowed to write; nothing does.
        mapped = np.memmap(self.path, dtype="<f4", mode="c", offset=HEADER.size)
        weights = torch.from_numpy(mapped)
        start = 0
        for section in sections(self.config):
            for layer in range(section.layers):
                end = start + prod(section.shape)
                if section.state is not None:
                    values = half_rotation(weights[start:end].view(section.shape), section.heads)
                    yield Part(section.state.format(layer), section.first_row, values)
                start = end


def sections(config: LlamaConfig) -> Iterator[Section]:
    """Everything behind the header, in the file's order."""
    width, inner, layers = config.width, config.inner, config.layers
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    block = "blocks.{}."
    qkv, gate_up = block + "qkv.weight", block + "gate_up.weight"
    yield Section("embedding.weight", (config.vocabulary, width))
    yield Section(block + "attention_norm.weight", (width,), layers)
    yield Section(qkv, (queries, width), layers, heads=config.heads)
    yield Section(qkv, (keys, width), layers, first_row=queries, heads=config.kv_heads)
    yield Section(qkv, (keys, width), layers, first_row=queries + keys)
    yield Section(block + "out.weight", (width, queries), layers)
    yield Section(block + "mlp_norm.weight", (width,), layers)
    yield Section(gate_up, (inner, width), layers)
    yield Section(block + "down.weight", (width, inner), layers)
    yield Section(gate_up, (inner, width), layers, first_row=inner)
    yield Section("norm.weight", (width,))
    # Cosines and sines of the rotary positions, half a head each: Llama computes its own.
    yield Section(None, (config.context, config.head_width))
    if not config.tied:
        yield Section("head.weight", (config.vocabulary, width))


def half_rotation(rows_nD: Tensor, heads: int) -> Tensor:
    """Reorder each head's rows from rotary pairs (2i, 2i + 1) to pairs (i, i + E/2)."""
    if not heads:
        return rows_nD
    pairs = rows_nD.view(heads, -1, 2, rows_nD.shape[1])
    return pairs.transpose(1, 2).reshape(rows_nD.shape)


def open_llama2c(path: Path) -> Llama2C:
    """Read the header and hold it against the file's size; UserError if they disagree."""
    try:
        with path.open("rb") as file:
            header = file.read(HEADER.size)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if header[:4] == MAGIC.to_bytes(4, "little"):
        raise UserError(
            f"{path} is a llama2.c checkpoint of version 1 or 2, but only version 0 is read: "
            "export it again with --version 0"
        )
    if len(header) < HEADER.size:
        raise UserError(f"{path} has {size} bytes, fewer than llama2.c's header: it is truncated")
    config = _parse(path, HEADER.unpack(header))
    expected = HEADER.size + 4 * sum(s.layers * prod(s.shape) for s in sections(config))
    if size != expected:
        raise UserError(
            f"{path} has {size} bytes, but its header asks for {expected}: "
            "it is truncated, or no llama2.c version-0 checkpoint"
        )
    return Llama2C(path, config)


def _parse(path: Path, header: tuple[int, ...]) -> LlamaConfig:
    width, inner, layers, heads, kv_heads, vocabulary, context = header
    sound = (
        min(width, inner, layers, heads, kv_heads, abs(vocabulary), context) > 0
        and width % (2 * heads) == 0
        and heads % kv_heads == 0
    )
    if not sound:
        raise UserError(
            f"{path} is no llama2.c version-0 checkpoint: its header reads width {width}, "
            f"inner {inner}, layers {layers}, heads {heads}, kv_heads {kv_heads}, "
            f"vocabulary {vocabulary}, context {context}"
        )
    return LlamaConfig(
        vocabulary=abs(vocabulary),
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_width=width // heads,
        inner=inner,
        context=context,
        tied=vocabulary > 0,  # a negative size says that the classifier has its own weights
    )
