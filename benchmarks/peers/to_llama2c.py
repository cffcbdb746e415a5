"""A Hugging Face Llama folder as llama2.c's version-0 float32 file: to_llama2c.py FOLDER OUT.bin

The layout is that of llama2.c's legacy export: seven int32, then every matrix of a kind over all
layers, then the rotary tables. llama2.c turns neighbouring pairs of features, Hugging Face's
checkpoints hold the two halves of every head: rows of the query and key matrices change places.
"""

from __future__ import annotations

import struct
import sys
from typing import Any

import torch
from torch import Tensor

from litdraft.checkpoints.load import load_llama, open_checkpoint
from litdraft.networks.llama import Llama


def pairs(weight_OI: Tensor, heads: int) -> Tensor:
    """Two halves of every head -> neighbouring pairs."""
    halves = weight_OI.view(heads, 2, -1, weight_OI.shape[1])
    return halves.transpose(1, 2).reshape(weight_OI.shape)


def matrices(model: Llama) -> list[Tensor]:
    config = model.config
    blocks: list[Any] = list(model.blocks)
    sizes = [config.heads, config.kv_heads, config.kv_heads]
    qkv = [b.qkv.weight.split([n * config.head_width for n in sizes]) for b in blocks]
    gate_up = [b.gate_up.weight.chunk(2) for b in blocks]
    return [
        model.embedding.weight,
        *(b.attention_norm.weight for b in blocks),
        *(pairs(q, config.heads) for q, _, _ in qkv),
        *(pairs(k, config.kv_heads) for _, k, _ in qkv),
        *(v for _, _, v in qkv),
        *(b.out.weight for b in blocks),
        *(b.mlp_norm.weight for b in blocks),
        *(gate for gate, _ in gate_up),
        *(b.down.weight for b in blocks),
        *(up for _, up in gate_up),
        model.norm.weight,
        model.cos_TE[:, : config.head_width // 2],
        -model.sin_TE[:, : config.head_width // 2],  # its first half carries a sign
        *([] if config.tied else [model.head.weight]),
    ]


def main() -> None:
    model = load_llama(open_checkpoint(sys.argv[1]), torch.float32)
    c = model.config
    vocabulary = c.vocabulary if c.tied else -c.vocabulary
    with open(sys.argv[2], "wb") as file:  # noqa: PTH123
        file.write(
            struct.pack(
                "7i", c.width, c.inner, c.layers, c.heads, c.kv_heads, vocabulary, c.context
            )
        )
        for matrix in matrices(model):
            file.write(matrix.detach().contiguous().numpy().astype("<f4").tobytes())


if __name__ == "__main__":
    main()
