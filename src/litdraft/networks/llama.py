"""The Llama network, ignorant of drafting.

RMSNorm, rotary positions (with Llama 3's frequency scaling), grouped-query attention and SwiGLU,
as in Touvron et al. 2023 (arXiv 2302.13971) and the Llama 3 report (arXiv 2407.21783). Query, key
and value projections are one matrix, and so are gate and up: fewer, larger products.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.networks.cache import StaticCache
from litdraft.networks.unembedding import Unembedding
from litdraft.protocols import Tree


@dataclass(frozen=True)
class RopeScaling:
    """Llama 3's stretching of low rotary frequencies."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_context: int


@dataclass(frozen=True)
class LlamaConfig:
    """The shape of a Llama; `inner` is the SwiGLU width, `context` the number of positions."""

    vocabulary: int
    width: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    inner: int
    context: int
    norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    rope_scaling: RopeScaling | None = None
    tied: bool = True


def rotary_frequencies(config: LlamaConfig) -> Tensor:
    """Radians per position for each pair of features, with Llama 3's scaling if configured."""
    exponents = torch.arange(0, config.head_width, 2, dtype=torch.float64) / config.head_width
    frequencies = config.rope_theta**-exponents
    if (scaling := config.rope_scaling) is None:
        return frequencies
    turns = scaling.original_context * frequencies / (2 * math.pi)
    low, high = scaling.low_freq_factor, scaling.high_freq_factor
    share = ((turns - low) / (high - low)).clamp(0, 1)
    return frequencies * (share + (1 - share) / scaling.factor)


def rotate(x_BPHE: Tensor, cos_BP1E: Tensor, sin_BP1E: Tensor) -> Tensor:
    """Rotate feature pairs (i, i + E/2), Hugging Face's layout of RoPE (arXiv 2104.09864).

    sin_BP1E includes the minus sign of the first half.
    """
    swapped_BPHE = x_BPHE.roll(x_BPHE.shape[-1] // 2, -1)
    return torch.addcmul(x_BPHE * cos_BP1E, swapped_BPHE, sin_BP1E)


class Block(nn.Module):
    """One layer: attention, then the feed-forward network, each with a pre-norm and a residual."""

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.heads, self.kv_heads = config.heads, config.kv_heads
        self.head_width = config.head_width
        queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
        self.attention_norm = nn.RMSNorm(config.width, config.norm_eps)
        self.qkv = nn.Linear(config.width, queries + 2 * keys, bias=False)
        self.out = nn.Linear(queries, config.width, bias=False)
        self.mlp_norm = nn.RMSNorm(config.width, config.norm_eps)
        self.gate_up = nn.Linear(config.width, 2 * config.inner, bias=False)
        self.down = nn.Linear(config.inner, config.width, bias=False)

    def forward(
        self,
        x_BPD: Tensor,
        cos_BP1E: Tensor,
        sin_BP1E: Tensor,
        layer: int,
        cache: StaticCache | None,
        mask_B1PT: Tensor | None,
    ) -> Tensor:
        heads = self.qkv(self.attention_norm(x_BPD)).unflatten(-1, (-1, self.head_width))
        qk_BPHE = rotate(heads[:, :, : -self.kv_heads], cos_BP1E, sin_BP1E)
        q, k = qk_BPHE.split((self.heads, self.kv_heads), dim=2)
        v = heads[:, :, -self.kv_heads :]
        if cache is not None:
            k, v = cache.write(layer, k, v)
        attended = F.scaled_dot_product_attention(
            q.transpose(1, 2),
            k.transpose(1, 2),
            v.transpose(1, 2),
            attn_mask=mask_B1PT,
            is_causal=mask_B1PT is None,
            enable_gqa=self.heads != self.kv_heads,
        )
        x_BPD = x_BPD + self.out(attended.transpose(1, 2).flatten(2))
        gate, up = self.gate_up(self.mlp_norm(x_BPD)).chunk(2, dim=-1)
        result: Tensor = x_BPD + self.down(F.silu(gate) * up)
        return result


class Llama(Unembedding):
    """Tokens in, final hidden states out; `unembed` turns those into logits."""

    cos_TE: Tensor
    sin_TE: Tensor

    def __init__(self, config: LlamaConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.layers))
        self.norm = nn.RMSNorm(config.width, config.norm_eps)
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocabulary, bias=False)
        self.reset_buffers()

    def reset_buffers(self) -> None:
        """Compute the rotary tables, on the device and in the type of the weights."""
        weight = self.norm.weight
        angles_TE = torch.outer(
            torch.arange(self.config.context, dtype=torch.float64), rotary_frequencies(self.config)
        ).repeat(1, 2)
        sign_E = torch.ones(self.config.head_width, dtype=torch.float64)
        sign_E[: self.config.head_width // 2] = -1
        for name, table in (("cos_TE", angles_TE.cos()), ("sin_TE", angles_TE.sin() * sign_E)):
            self.register_buffer(name, table.to(weight.device, weight.dtype), persistent=False)

    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """GPT-2's initialization: normal 0.02, residual outputs scaled by depth."""
        for name, weight in self.named_parameters():
            if weight.dim() < 2:
                nn.init.ones_(weight)
                continue
            deep = name.endswith(("out.weight", "down.weight"))
            std = 0.02 / math.sqrt(2 * self.config.layers) if deep else 0.02
            nn.init.normal_(weight, std=std, generator=generator)

    def allocate(self, rows: int, capacity: int) -> StaticCache:
        """A cache for `rows` rows of `capacity` tokens."""
        config = self.config
        return StaticCache(
            config.layers,
            rows,
            config.kv_heads,
            capacity,
            config.head_width,
            self.dtype,
            self.device,
        )

    def forward(
        self,
        tokens_BP: Tensor,
        cache: StaticCache | None = None,
        taps: tuple[int, ...] = (),
        start_BP: Tensor | None = None,
        tree: Tree | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_BPD after the final norm, and the residual streams after the tapped layers.

        With a cache the tokens come after what it holds, row by row, as a chain or a tree; the
        cache does not advance. start_BP is where each token's own text begins in a packed row
        (without a cache).
        """
        x_BPD = self.embed(tokens_BP)
        if cache is None:
            positions_BP, mask = _positions_and_mask(tokens_BP, start_BP)
        else:
            positions_BP, mask, _ = cache.layout(tokens_BP.shape[1], tree)
        cos_BP1E, sin_BP1E = (
            F.embedding(positions_BP, table_TE)[:, :, None]
            for table_TE in (self.cos_TE, self.sin_TE)
        )
        tapped = [x_BPD] if 0 in taps else []
        for layer, block in enumerate(self.blocks):
            x_BPD = block(x_BPD, cos_BP1E, sin_BP1E, layer, cache, mask)
            if layer + 1 in taps:
                tapped.append(x_BPD)
        return self.norm(x_BPD), torch.cat(tapped, -1) if tapped else None


def _positions_and_mask(tokens_BP: Tensor, start_BP: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Positions, and the mask that separates packed texts; None means causal."""
    index_BP = torch.arange(tokens_BP.shape[1], device=tokens_BP.device)[None]
    if start_BP is None:
        return index_BP, None
    key_BPT = index_BP[:, None]
    mask_BPT = (start_BP[:, :, None] <= key_BPT) & (key_BPT <= index_BP[:, :, None])
    return index_BP - start_BP, mask_BPT[:, None]
