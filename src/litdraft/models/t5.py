"""The T5 network, encoder and decoder, ignorant of drafting.

Raffel et al. 2020 (arXiv 1910.10683), and its 1.1, whose feed-forward networks are gated and whose
unembedding is its own: what FLAN-T5 (arXiv 2210.11416) and mT5 are. Attention knows positions by a
bias for every distance between two tokens, and does not scale its scores.

A row is one sequence (see `protocols.Sides`): source, the decoder's start token, text. Positions
and lengths count all of it; hidden states over the source are the encoder's.
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
from litdraft.models.t5_cache import T5Cache
from litdraft.protocols import Sides

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "silu": F.silu,
    "gelu": F.gelu,
    "gelu_new": functools.partial(F.gelu, approximate="tanh"),
}


@dataclass(frozen=True)
class T5Config:
    """The shape of a T5; `layers` are the decoder's, `limit` the tokens that encoder and decoder
    are each made for, `start` the decoder's first token.

    buckets and reach: distances from `reach` on share one bucket of the position bias. scaled:
    hidden states are divided by the root of the width before they are unembedded.
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

    @property
    def context(self) -> int:
        """The longest row."""
        return 2 * self.limit

    @property
    def sides(self) -> Sides:
        return Sides(self.start, self.limit)


def bucket_table(buckets: int, reach: int, both_ways: bool) -> Tensor:
    """buckets_R of the distances -reach..reach from a token to what it sees: half of the buckets
    for a distance each, the others for logarithmic ranges; a decoder sees nothing ahead."""
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
    """A learned number a head for every bucket of distances; one for all layers of a stack."""

    table_R: Tensor

    def __init__(self, config: T5Config, both_ways: bool) -> None:
        super().__init__()
        self.reach, self.buckets, self.both_ways = config.reach, config.buckets, both_ways
        self.weight = nn.Parameter(torch.zeros(config.buckets, config.heads))
        self.reset_buffers()

    def reset_buffers(self) -> None:
        table_R = bucket_table(self.buckets, self.reach, self.both_ways)
        self.register_buffer("table_R", table_R.to(self.weight.device), persistent=False)

    def forward(self, positions_BP: Tensor, mask_B1PT: Tensor) -> Tensor:
        """bias_BHPT towards positions 0..T-1, minus infinity where the mask is False."""
        key_T = torch.arange(mask_B1PT.shape[-1], device=positions_BP.device)
        distance_BPT = (key_T - positions_BP[..., None]).clamp(-self.reach, self.reach)
        bias_BPTH = F.embedding(self.table_R[distance_BPT + self.reach], self.weight)
        return bias_BPTH.permute(0, 3, 1, 2).masked_fill(~mask_B1PT, -math.inf)


def attended(q_BPHE: Tensor, k_BTHE: Tensor, v_BTHE: Tensor, mask: Tensor) -> Tensor:
    """What P tokens take from T others, heads side by side."""
    q, k, v = (part.transpose(1, 2) for part in (q_BPHE, k_BTHE, v_BTHE))
    # On a CPU the fused kernel's gradient behind a mask was seen to take a quarter of a step.
    plain = q.requires_grad and q.device.type == "cpu"
    with sdpa_kernel(SDPBackend.MATH) if plain else nullcontext():
        seen = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=1.0)
    return seen.transpose(1, 2).flatten(2)


class FeedForward(nn.Module):
    """Plain, or gated: the first half of `up` is what the activation is for."""

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
    """Attention to one's own text, then the feed-forward network; each behind a norm."""

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
        x_BSD = x_BSD + self.out(attended(*self.split(x_BSD), bias_BHSS))
        result: Tensor = x_BSD + self.mlp(self.mlp_norm(x_BSD))
        return result

    def split(self, x_BPD: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k, v, each BPHE."""
        q, k, v = self.qkv(self.attention_norm(x_BPD)).unflatten(-1, (3, self.heads, -1)).unbind(2)
        return q, k, v


class DecoderBlock(EncoderBlock):
    """As the encoder's, with attention to the source between the two."""

    def __init__(self, config: T5Config) -> None:
        super().__init__(config)
        size = config.heads * config.head_width
        self.cross_norm = nn.RMSNorm(config.width, config.norm_eps)
        self.cross_q = nn.Linear(config.width, size, bias=False)
        self.cross_kv = nn.Linear(config.width, 2 * size, bias=False)
        self.cross_out = nn.Linear(size, config.width, bias=False)

    def over(self, source_BSD: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values of the source, BSHE: the same for every token that is decoded."""
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
        """`store` keeps new keys and values and gives all that may be seen."""
        q, k, v = self.split(x_BPD)
        if store is not None:
            k, v = store(k, v)
        x_BPD = x_BPD + self.out(attended(q, k, v, bias_BHPT))
        q = self.cross_q(self.cross_norm(x_BPD)).unflatten(-1, (self.heads, -1))
        x_BPD = x_BPD + self.cross_out(attended(q, *source, mask_B11S))
        result: Tensor = x_BPD + self.mlp(self.mlp_norm(x_BPD))
        return result


class T5(nn.Module):
    """Rows in, hidden states out; `unembed` turns the decoder's into logits."""

    def __init__(self, config: T5Config) -> None:
        super().__init__()
        self.config = config
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.encoder = nn.ModuleList(EncoderBlock(config) for _ in range(config.encoder_layers))
        self.encoder_bias = PositionBias(config, both_ways=True)
        self.encoder_norm = nn.RMSNorm(config.width, config.norm_eps)
        self.decoder = nn.ModuleList(DecoderBlock(config) for _ in range(config.layers))
        self.decoder_bias = PositionBias(config, both_ways=False)
        self.norm = nn.RMSNorm(config.width, config.norm_eps)
        if not config.tied:
            self.head = nn.Linear(config.width, config.vocabulary, bias=False)

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.weight.dtype

    def reset_buffers(self) -> None:
        """(Re)compute the tables of distances, beside the weights."""
        self.encoder_bias.reset_buffers()
        self.decoder_bias.reset_buffers()

    def reset_parameters(self) -> None:
        """Normal, by the width of what each reads (as Mesh TensorFlow began T5): scores are not
        scaled, so queries begin smaller by the root of a head's width."""
        config = self.config
        for name, weight in self.named_parameters():
            part = name.split(".")[-2]
            if weight.dim() < 2:
                nn.init.ones_(weight)
            elif part == "embedding":
                nn.init.normal_(weight, std=1.0 if config.scaled else config.width**-0.5)
            else:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            if part in ("qkv", "cross_q"):
                with torch.no_grad():
                    weight[: config.heads * config.head_width] *= config.head_width**-0.5
        for bias in (self.encoder_bias, self.decoder_bias):
            nn.init.normal_(bias.weight, std=config.width**-0.5)

    def allocate(self, rows: int, room: int) -> T5Cache:
        """A cache for `rows` rows of `room` tokens, sources included."""
        return T5Cache(rows, room, self.device)

    def read(
        self,
        tokens_BP: Tensor,
        cache: T5Cache | None = None,
        taps: tuple[int, ...] = (),
        prompt_B: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_BPD after the final norms, and the decoder's residual streams after the tapped
        layers (over the source: the encoder's hidden states).

        prompt_B with what begins at position 0, as `protocols.Target.read` says; afterwards tokens
        stand behind what the cache holds, row by row.
        """
        if prompt_B is None:
            assert cache is not None
            positions_BP, mask_B1PT = cache.place(tokens_BP.shape[1])
            return self._decode(
                tokens_BP, positions_BP, mask_B1PT, cache.source, cache.mask_B11S, taps, cache.write
            )
        source_B = prompt_B - 1
        least, most = int(source_B.min()), int(source_B.max())
        if least < 1 or most > self.config.limit:
            raise UserError(
                f"a source of {most if least else 0} tokens was given, but the encoder reads 1 to "
                f"{self.config.limit}: shorten it, or give data.truncate=left or right"
            )
        mask_BS = torch.arange(most, device=tokens_BP.device) < source_B[:, None]
        encoded_BSD, mask_B11S = self._encode(tokens_BP[:, :most], mask_BS), mask_BS[:, None, None]
        source = [block.over(encoded_BSD) for block in self.decoder]  # type: ignore[operator]
        store, count = None, max(tokens_BP.shape[1] - least, 1)
        if cache is not None:
            cache.begin(source_B, source, mask_B11S)
            store, count = cache.write, 1
        place_P = torch.arange(count, device=tokens_BP.device)
        own_BP = (source_B[:, None] + place_P).clamp_max(tokens_BP.shape[1] - 1)
        positions_BP, mask = cache.place(1) if cache else (place_P[None], _causal(place_P))
        decoded = self._decode(
            tokens_BP.gather(1, own_BP), positions_BP, mask, source, mask_B11S, taps, store
        )
        hidden, tapped = (
            None if part is None else _joined(encoded_BSD, part, source_B, tokens_BP.shape[1])
            for part in decoded
        )
        assert hidden is not None
        return hidden, tapped

    def _encode(self, tokens_BS: Tensor, mask_BS: Tensor) -> Tensor:
        x_BSD = self.embed(tokens_BS)
        place_1S = torch.arange(tokens_BS.shape[1], device=tokens_BS.device)[None]
        bias_BHSS = self.encoder_bias(place_1S, mask_BS[:, None, None])
        for block in self.encoder:
            x_BSD = block(x_BSD, bias_BHSS)
        encoded_BSD: Tensor = self.encoder_norm(x_BSD)
        return encoded_BSD

    def _decode(
        self,
        tokens_BP: Tensor,
        positions_BP: Tensor,
        mask_B1PT: Tensor,
        source: list[tuple[Tensor, Tensor]],
        mask_B11S: Tensor,
        taps: tuple[int, ...],
        write: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]] | None,
    ) -> tuple[Tensor, Tensor | None]:
        x_BPD = self.embed(tokens_BP)
        bias_BHPT = self.decoder_bias(positions_BP, mask_B1PT)
        tapped = [x_BPD] if 0 in taps else []
        for layer, block in enumerate(self.decoder):
            store = None if write is None else functools.partial(write, layer)
            x_BPD = block.decode(x_BPD, bias_BHPT, source[layer], mask_B11S, store)  # type: ignore[operator]
            if layer + 1 in taps:
                tapped.append(x_BPD)
        return self.norm(x_BPD), torch.cat(tapped, -1) if tapped else None

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.embedding.weight)

    @property
    def _head_VD(self) -> Tensor:
        return self.embedding.weight if self.config.tied else self.head.weight

    def _scaled(self, hidden_nD: Tensor) -> Tensor:
        return hidden_nD * self.config.width**-0.5 if self.config.scaled else hidden_nD

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        """logits_nV of the decoder's hidden states, through the tied or the own head."""
        return F.linear(self._scaled(hidden_nD), self._head_VD)

    def best(self, hidden_nD: Tensor) -> Tensor:
        """tokens_n of the largest logit."""
        return self.unembed(hidden_nD).argmax(-1)

    def narrowed(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to some tokens, whose rows are copied: hidden_nD -> logits_nU."""
        weight_UD = self._head_VD[vocabulary_U].detach()
        return lambda hidden_nD: F.linear(self._scaled(hidden_nD), weight_UD)


def _causal(place_P: Tensor) -> Tensor:
    """mask_11PP: a token sees what stands before it, and itself."""
    return (place_P <= place_P[:, None])[None, None]


def _joined(encoded_BSC: Tensor, decoded_BPC: Tensor, source_B: Tensor, length: int) -> Tensor:
    """Rows of `length` positions again: over the source what was encoded, behind it decoded."""
    place_BT = torch.arange(length, device=source_B.device) - source_B[:, None]
    index_BT1 = place_BT.clamp(0, decoded_BPC.shape[1] - 1)[..., None]
    behind_BTC = decoded_BPC.gather(1, index_BT1.expand(-1, -1, decoded_BPC.shape[2]))
    repeats = decoded_BPC.shape[2] // encoded_BSC.shape[2]  # of tapped layers
    source_BTC = F.pad(encoded_BSC, (0, 0, 0, length - encoded_BSC.shape[1])).repeat(1, 1, repeats)
    return torch.where((place_BT < 0)[..., None], source_BTC, behind_BTC)
