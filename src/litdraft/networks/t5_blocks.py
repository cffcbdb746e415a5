"""The parts of a T5: its shape, its position bias, its layers.

Raffel et al. 2020 (arXiv 1910.10683), and T5 1.1, whose feed-forward networks are gated. Attention
adds a learned bias for the distance between two tokens, and does not scale its scores.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from litdraft.errors import UserError
from litdraft.networks.cache import Layout
from litdraft.protocols import EncoderDecoderLayout

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_new": functools.partial(F.gelu, approximate="tanh"),
}


@dataclass(frozen=True)
class T5Config:
    """The shape of a T5; `layers` are the decoder's, `limit` the most tokens of the encoder
    and of the decoder, `start` the decoder's first token.

    buckets and reach: distances of `reach` or more share one bucket of the position bias. scaled:
    hidden states are divided by the root of the width before unembedding.
    """

    vocabulary: int
    width: int
    encoder_layers: int
    layers: int
    heads: int
    head_width: int
    inner: int
    start: int
    limit: int = 512
    buckets: int = 32
    reach: int = 128
    norm_eps: float = 1e-6
    gated: bool = False
    activation: str = "relu"
    tied: bool = True
    scaled: bool = True

    def __post_init__(self) -> None:
        if self.buckets % 4 or self.buckets < 4 or self.reach <= self.buckets // 2:
            raise UserError(
                f"a T5 with buckets={self.buckets} and reach={self.reach} was given, but "
                "buckets must be a multiple of 4, and reach larger than half of buckets"
            )

    @property
    def context(self) -> int:
        """The longest row."""
        return 2 * self.limit

    @property
    def encoder_decoder(self) -> EncoderDecoderLayout:
        return EncoderDecoderLayout(self.start, self.limit)


def bucket_table(buckets: int, reach: int, both_ways: bool) -> Tensor:
    """buckets_R of the distances -reach..reach from a query to a key. Half of the buckets stand for
    one distance each, the others for logarithmic ranges; a decoder sees no later tokens."""
    distance_R = torch.arange(-reach, reach + 1)
    ahead_R = torch.zeros_like(distance_R)
    if both_ways:
        buckets //= 2
        ahead_R = (distance_R > 0).long() * buckets
        distance_R = distance_R.abs()
    else:
        distance_R = (-distance_R).clamp_min(0)
    exact = buckets // 2
    far_R = torch.log(distance_R.clamp_min(1).float() / exact) / math.log(reach / exact)
    far_R = (exact + (far_R * (buckets - exact)).long()).clamp_max(buckets - 1)
    return ahead_R + torch.where(distance_R < exact, distance_R, far_R)


class PositionBias(nn.Module):
    """A learned bias per head and bucket of distances, shared by all layers of a stack."""

    table_R: Tensor

    def __init__(self, config: T5Config, both_ways: bool) -> None:
        super().__init__()
        self.reach, self.buckets, self.both_ways = config.reach, config.buckets, both_ways
        self.weight = nn.Parameter(torch.zeros(config.buckets, config.heads))
        self.reset_buffers()

    def reset_buffers(self) -> None:
        table_R = bucket_table(self.buckets, self.reach, self.both_ways)
        self.register_buffer("table_R", table_R.to(self.weight.device), persistent=False)

    def forward(self, layout: Layout) -> Tensor:
        """bias_BHPT towards the keys in slots 0..T-1, minus infinity where the mask is False."""
        distance_BPT = layout.key_positions_BT()[:, None] - layout.positions_BP[..., None]
        distance_BPT = distance_BPT.clamp(-self.reach, self.reach)
        bias_BPTH = F.embedding(self.table_R[distance_BPT + self.reach], self.weight)
        return bias_BPTH.permute(0, 3, 1, 2).masked_fill(~layout.mask_B1PT, -math.inf)


def attend(q_BPHE: Tensor, k_BTHE: Tensor, v_BTHE: Tensor, mask: Tensor) -> Tensor:
    """Attention of P queries to T keys, heads concatenated; `mask` is a bias to add, or True for
    visible keys."""
    q, k, v = (part.transpose(1, 2) for part in (q_BPHE, k_BTHE, v_BTHE))
    # On a CPU the gradient of the fused kernel with a mask took a quarter of a training step; but
    # the plain one holds all scores at once, so it is for few.
    few = q_BPHE.shape[1] * k_BTHE.shape[1] <= 1 << 16
    plain = few and q.requires_grad and q.device.type == "cpu"
    with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        result = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    return result.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Plain or gated; the gate is the first half of `up`."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.gated, self.activation = config.gated, ACTIVATIONS[config.activation]
        self.up = nn.Linear(config.width, (1 + config.gated) * config.inner, bias=False)
        self.down = nn.Linear(config.inner, config.width, bias=False)

    def forward(self, x_BPD: Tensor) -> Tensor:
        up = self.up(x_BPD)
        if self.gated:
            gate, up = up.chunk(2, -1)
            up = self.activation(gate) * up
        else:
            up = self.activation(up)
        down: Tensor = self.down(up)
        return down


class EncoderBlock(nn.Module):
    """Self-attention, then the feed-forward network, each with a pre-norm and a residual."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.heads = config.heads
        size = config.heads * config.head_width
        self.attention_norm = nn.RMSNorm(config.width, config.norm_eps)
        self.qkv = nn.Linear(config.width, 3 * size, bias=False)
        self.out = nn.Linear(size, config.width, bias=False)
        self.mlp_norm = nn.RMSNorm(config.width, config.norm_eps)
        self.mlp = FeedForward(config)

    def forward(self, x_BSD: Tensor, bias_BHSS: Tensor) -> Tensor:
        x_BSD = x_BSD + self.out(attend(*self.qkv_of(x_BSD), bias_BHSS))
        result: Tensor = x_BSD + self.mlp(self.mlp_norm(x_BSD))
        return result

    def qkv_of(self, x_BPD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v of the normalized stream, each BPHE."""
        q, k, v = self.qkv(self.attention_norm(x_BPD)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        return q, k, v


class DecoderBlock(EncoderBlock):
    """As the encoder's, with cross-attention to the source between the two."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        size = config.heads * config.head_width
        self.cross_norm = nn.RMSNorm(config.width, config.norm_eps)
        self.cross_q = nn.Linear(config.width, size, bias=False)
        self.cross_kv = nn.Linear(config.width, 2 * size, bias=False)
        self.cross_out = nn.Linear(size, config.width, bias=False)

    def source_keys(self, source_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the source, BSHE: the same for every decoded token."""
        k, v = self.cross_kv(source_BSD).unflatten(-1, (2, self.heads, -1)).unbind(2)
        return k, v

    def decode(
        self,
        x_BPD: Tensor,
        bias_BHPT: Tensor,
        source: tuple[Tensor, Tensor],
        mask_B11S: Tensor,
        store: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None,
    ) -> Tensor:
        """`store` stores new keys and values and returns all visible ones."""
        q, k, v = self.qkv_of(x_BPD)
        if store is not None:
            k, v = store(k, v)
        x_BPD = x_BPD + self.out(attend(q, k, v, bias_BHPT))
        q = self.cross_q(self.cross_norm(x_BPD)).unflatten(-1, (self.heads, -1))
        x_BPD = x_BPD + self.cross_out(attend(q, *source, mask_B11S))
        result: Tensor = x_BPD + self.mlp(self.mlp_norm(x_BPD))
        return result
