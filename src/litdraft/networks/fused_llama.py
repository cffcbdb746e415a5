"""A Llama for decoding on a CPU: a pass over few tokens is one native operation.

Weights are packed once, in the order in which the operation reads them, and removed from the model
given, so that memory holds them once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from litdraft.native.build import IN, OUT, linear, packed, packed_size, round_up_to
from litdraft.networks.llama import Llama, LlamaConfig
from litdraft.protocols import Tree

ROWS = 512  # tokens in one native pass at most: longer texts are read in pieces


def interleaved(gate_up_OI: Tensor) -> Tensor:
    """Blocks of the gate and the up matrix in turn, whose outputs are multiplied elementwise."""
    gate_up = gate_up_OI.view(2, -1, gate_up_OI.shape[1])
    inner = gate_up.shape[1]
    padded = gate_up.new_zeros(2, round_up_to(inner, OUT), gate_up.shape[2])
    padded[:, :inner] = gate_up
    return padded.view(2, -1, OUT, padded.shape[2]).transpose(0, 1).flatten(0, 2)


class FusedCache:
    """Keys and values in the order of the native operation, L x B x H x n, and one length per row.

    As in `StaticCache`, a pass writes after each row's length and `keep` advances it.
    """

    def __init__(self, config: LlamaConfig, rows: int, capacity: int, dtype: torch.dtype) -> None:
        slots, width = round_up_to(capacity, IN), config.head_width
        heads = (config.layers, rows, config.kv_heads)
        self.keys_LBHn = torch.zeros(*heads, slots * round_up_to(width, IN), dtype=dtype)
        self.values_LBHn = torch.zeros(*heads, slots * round_up_to(width, OUT), dtype=dtype)
        self.length_B = torch.zeros(rows, dtype=torch.long)
        self.slots = slots

    def limit_slots(self, slots: int) -> None:
        """Nothing to do: a pass reads only as many slots as a row has filled."""

    def select(self, rows_n: Tensor) -> None:
        """Continue with these rows alone."""
        self.keys_LBHn = self.keys_LBHn[:, rows_n]
        self.values_LBHn = self.values_LBHn[:, rows_n]
        self.length_B = self.length_B[rows_n]

    def keep(self, count_B: Tensor, path_BP: Tensor | None = None) -> None:
        """Advance each row by count_B of the tokens just read; as `networks.cache.Slots.keep`."""
        if path_BP is not None:
            self._gather_path(path_BP)
        self.length_B += count_B

    def _gather_path(self, path_BP: Tensor) -> None:
        """Move the entries of a path to the front of the pass, in every layer. The layout is that
        of `attend` in native/llama.cpp. Reading copies first, so paths may overlap."""
        rows_B1 = torch.arange(len(path_BP))[:, None]
        from_BP = self.length_B[:, None] + path_BP
        to_BP = self.length_B[:, None] + torch.arange(path_BP.shape[1])
        pair = 4 // self.keys_LBHn.element_size()
        layers, rows, heads, _ = self.keys_LBHn.shape
        slots = self.slots
        keys = self.keys_LBHn.view(layers, rows, heads, slots // OUT, -1, OUT, pair)
        keys[:, rows_B1, :, to_BP // OUT, :, to_BP % OUT] = keys[
            :, rows_B1, :, from_BP // OUT, :, from_BP % OUT
        ]
        values = self.values_LBHn.view(layers, rows, heads, slots // IN, -1, IN // pair, OUT, pair)

        def value_index(slot_BP: Tensor) -> tuple[Any, ...]:
            inside_BP = slot_BP % IN
            every = slice(None)
            return (
                every, rows_B1, every, slot_BP // IN, every, inside_BP // pair, every,
                inside_BP % pair,
            )  # fmt: skip

        values[value_index(to_BP)] = values[value_index(from_BP)]


class FusedLlama(nn.Module):
    """A frozen Llama with packed weights and `Llama`'s interface. Hidden states, taps and logits
    are float32, whatever the type of the weights."""

    def __init__(self, model: Llama) -> None:
        super().__init__()
        config = self.config = model.config
        self.dtype = model.dtype
        self.device = model.device
        self.shape = [
            config.vocabulary, config.width, config.layers, config.heads, config.kv_heads,
            config.head_width, config.inner,
        ]  # fmt: skip
        blocks: list[Any] = list(model.blocks)
        norms = [n for b in blocks for n in (b.attention_norm.weight, b.mlp_norm.weight)]
        self.norms_nD = torch.stack((*norms, model.norm.weight)).float()
        self.rotary_2TE = torch.stack((model.cos_TE, model.sin_TE)).float()
        head = None if config.tied else packed(_take_weight(model.head), self.dtype)
        self.weights = self._packed(model)  # the embedding comes first
        self.head = self.weights if head is None else head

    def _packed(self, model: Llama) -> Tensor:
        """All matrices in the order of the operation, each removed from the model once packed."""
        matrices: list[tuple[Any, bool]] = [(model.embedding, False)]
        for block in model.blocks:
            matrices += [
                (block.qkv, False), (block.out, False), (block.gate_up, True), (block.down, False)
            ]  # fmt: skip
        width = self.config.width
        inner = round_up_to(self.config.inner, OUT)  # gate and up are padded separately
        sizes = [
            packed_size(2 * inner, width) if paired else packed_size(*module.weight.shape)
            for module, paired in matrices
        ]
        flat, at = torch.empty(sum(sizes), dtype=self.dtype), 0
        for (module, paired), size in zip(matrices, sizes, strict=True):
            weight = interleaved(_take_weight(module)) if paired else _take_weight(module)
            flat[at : at + size] = packed(weight, self.dtype)
            at += size
        return flat

    def allocate(self, rows: int, capacity: int) -> FusedCache:
        return FusedCache(self.config, rows, capacity, self.dtype)

    def forward(
        self,
        tokens_BP: Tensor,
        cache: FusedCache | None = None,
        taps: tuple[int, ...] = (),
        tree: Tree | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_BPD after the final norm, and the residual streams after the tapped layers; as
        `Llama.forward`. A tree is read in one pass, whatever its size."""
        rows, count = tokens_BP.shape
        if cache is not None and (tree is not None or rows * count <= ROWS):
            return self._read(tokens_BP, cache, cache.length_B, taps, tree)
        # A long text, or one without a cache, is read in pieces.
        cache = cache or self.allocate(rows, count)
        piece = max(1, ROWS // rows)
        pieces = [
            self._read(tokens_BP[:, at : at + piece], cache, cache.length_B + at, taps)
            for at in range(0, count, piece)
        ]
        hidden_BPD = torch.cat([hidden for hidden, _ in pieces], 1)
        return hidden_BPD, torch.cat([tap for _, tap in pieces], 1) if taps else None  # type: ignore[misc]

    def _read(
        self,
        tokens_BP: Tensor,
        cache: FusedCache,
        length_B: Tensor,
        taps: tuple[int, ...],
        tree: Tree | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        hidden_BPD, taps_BPC = torch.ops.litdraft.read.default(
            self.weights, self.shape, self.config.norm_eps, self.norms_nD, self.rotary_2TE,
            tokens_BP, length_B, cache.keys_LBHn, cache.values_LBHn, sorted(taps),
            None if tree is None else tree.depth_BP,
            None if tree is None else tree.ancestors_BPP,
        )  # fmt: skip
        return hidden_BPD, taps_BPC if taps else None

    def embed(self, tokens: Tensor) -> Tensor:
        width = self.config.width
        embedded: Tensor = torch.ops.litdraft.embed.default(self.weights, width, tokens.flatten())
        return embedded.view(*tokens.shape, width)

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        """logits_nV through the tied or separate head."""
        return linear(hidden_nD, self.head, self.config.vocabulary)

    def argmax(self, hidden_nD: Tensor) -> Tensor:
        """tokens_n of the largest logit; the logits are not stored."""
        flat_nD = hidden_nD.reshape(-1, hidden_nD.shape[-1]).float()
        tokens_n: Tensor = torch.ops.litdraft.argmax.default(
            self.head, self.config.vocabulary, flat_nD
        )
        return tokens_n.view(hidden_nD.shape[:-1])

    def unembed_subset(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to some tokens, whose rows are copied: hidden_nD -> logits_nU."""
        rows_UD = torch.ops.litdraft.embed.default(self.head, self.config.width, vocabulary_U)
        weight = packed(rows_UD, self.dtype)
        return functools.partial(linear, weight=weight, outputs=len(vocabulary_U))


def _take_weight(module: Any) -> Tensor:
    """A module's weight, removed from the module."""
    weight: Tensor = module.weight.detach()
    module.weight = None
    return weight
