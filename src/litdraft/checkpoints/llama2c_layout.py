"""The weights after the header of a llama2.c checkpoint, and how they are encoded.

The order is that of `legacy_export`, `version1_export` and `version2_export` in export.py of
github.com/karpathy/llama2.c; run.c reads version 0 and runq.c version 2.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from litdraft.networks.llama import LlamaConfig

FLOAT = np.dtype("<f4")


class Section(NamedTuple):
    """One weight of the file, with all its layers. `state` None: not used by Llama.

    heads > 0 marks query or key rows, whose rotary pairs are adjacent rows in this format.
    """

    state: str | None
    shape: tuple[int, ...]
    layers: int = 1
    first_row: int = 0
    heads: int = 0

    @property
    def numbers(self) -> int:
        """How many numbers one layer has."""
        return prod(self.shape)

    @property
    def matrix(self) -> bool:
        return len(self.shape) == 2

    def bytes(self, group: int | None) -> int:
        """The bytes of one layer. A quantized matrix has one byte per number and one float32 scale
        per `group` of numbers."""
        if group is None or not self.matrix:
            return self.numbers * FLOAT.itemsize
        return self.numbers + self.numbers // group * FLOAT.itemsize


def sections(config: LlamaConfig, version: int) -> list[Section]:
    """Everything after the header, in the file's order."""
    width, inner, layers = config.width, config.inner, config.layers
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    block = "blocks.{}."
    qkv, gate_up = block + "qkv.weight", block + "gate_up.weight"
    embedding = Section("embedding.weight", (config.vocabulary, width))
    attention_norm = Section(block + "attention_norm.weight", (width,), layers)
    attention = [
        Section(qkv, (queries, width), layers, heads=config.heads),
        Section(qkv, (keys, width), layers, first_row=queries, heads=config.kv_heads),
        Section(qkv, (keys, width), layers, first_row=queries + keys),
        Section(block + "out.weight", (width, queries), layers),
    ]
    mlp_norm = Section(block + "mlp_norm.weight", (width,), layers)
    mlp = [
        Section(gate_up, (inner, width), layers),
        Section(block + "down.weight", (width, inner), layers),
        Section(gate_up, (inner, width), layers, first_row=inner),
    ]
    norm = Section("norm.weight", (width,))
    head = [] if config.tied else [Section("head.weight", (config.vocabulary, width))]
    if version > 0:
        return [attention_norm, mlp_norm, norm, embedding, *attention, *mlp, *head]
    # Cosines and sines of the rotary positions, half a head each: Llama computes its own.
    rotary = Section(None, (config.context, config.head_width))
    return [embedding, attention_norm, *attention, mlp_norm, *mlp, norm, rotary, *head]


def weight(section: Section, data_n: NDArray[np.uint8], group: int | None) -> Tensor:
    """One layer of a section, float32: mapped from its bytes, or dequantized (Q8_0: number times
    its group's scale; groups continue across rows)."""
    if group is None or not section.matrix:
        values = torch.from_numpy(data_n.view(FLOAT))
    else:
        numbers = data_n[: section.numbers].view(np.int8).reshape(-1, group)
        values = torch.from_numpy(numbers * scales(section, data_n)[:, None])
    return half_rotation(values.view(section.shape), section.heads)


def scales(section: Section, data_n: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The scales of a quantized layer, which come after its numbers."""
    return data_n[section.numbers :].view(FLOAT)


def half_rotation(rows_nD: Tensor, heads: int) -> Tensor:
    """Reorder each head's rows from rotary pairs (2i, 2i + 1) to pairs (i, i + E/2)."""
    if not heads:
        return rows_nD
    pairs = rows_nD.view(heads, -1, 2, rows_nD.shape[1])
    return pairs.transpose(1, 2).reshape(rows_nD.shape)
