"""The T5 network, encoder and decoder, ignorant of drafting: T5, T5 1.1 with a separate head, and
models of that shape: FLAN-T5 (arXiv 2210.11416), mT5.

A row is one sequence (see `protocols.EncoderDecoderLayout`): source, the decoder's start token,
text. Positions and lengths count all of it; hidden states over the source are the encoder's.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.errors import UserError
from litdraft.networks.cache import Layout
from litdraft.networks.t5_blocks import DecoderBlock, EncoderBlock, PositionBias, T5Config
from litdraft.networks.t5_cache import SourceKeys, T5Cache
from litdraft.networks.unembedding import Unembedding
from litdraft.protocols import Tree


class T5(Unembedding):
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

    def reset_buffers(self) -> None:
        """Compute the tables of distances, on the device of the weights."""
        self.encoder_bias.reset_buffers()
        self.decoder_bias.reset_buffers()

    def reset_parameters(self) -> None:
        """Normal, scaled by the input width (T5's initialization in Mesh TensorFlow). Scores are
        not scaled, so queries are divided by the root of a head's width. Residual outputs are
        scaled by depth, as in GPT-2: a token's own embedding then stays visible, and copying was
        learned in a few hundred steps instead of not within a thousand."""
        config = self.config
        for name, weight in self.named_parameters():
            part = name.split(".")[-2]
            if weight.dim() < 2:
                nn.init.ones_(weight)
            elif part == "embedding":
                nn.init.normal_(weight, std=1.0 if config.scaled else config.width**-0.5)
            else:
                nn.init.normal_(weight, std=weight.shape[1] ** -0.5)
            if part in ("out", "cross_out", "down"):
                deep = 2 * config.encoder_layers if "encoder" in name else 3 * config.layers
                with torch.no_grad():
                    weight.mul_(deep**-0.5)
            if part in ("qkv", "cross_q"):
                with torch.no_grad():
                    weight[: config.heads * config.head_width] *= config.head_width**-0.5
        for bias in (self.encoder_bias, self.decoder_bias):
            nn.init.normal_(bias.weight, std=config.width**-0.5)

    def allocate(self, rows: int, capacity: int) -> T5Cache:
        """A cache for `rows` rows of `capacity` tokens, sources included."""
        return T5Cache(rows, capacity, self.device)

    def forward(
        self,
        tokens_BP: Tensor,
        cache: T5Cache | None = None,
        taps: tuple[int, ...] = (),
        prompt_B: Tensor | None = None,
        tree: Tree | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_BPD after the final norms, and the decoder's residual streams after the tapped
        layers (over the source: the encoder's hidden states).

        prompt_B is given with tokens that begin at position 0, as in `protocols.Target.forward`;
        other tokens come after what the cache holds, row by row, as a chain or a tree.
        """
        if prompt_B is None:
            assert cache is not None
            layout = cache.layout(tokens_BP.shape[1], tree)
            return self._decode(tokens_BP, layout, cache.source, taps, cache.write)
        encoded_BSD, source = self._encode(tokens_BP, prompt_B - 1)
        length = tokens_BP.shape[1]
        if cache is not None:  # the start token alone
            cache.begin(source)
            layout, write = cache.layout(1), cache.write
        else:
            layout, write = _causal(max(length - source.shortest, 1), self.device), None
        own_BP = (source.length_B[:, None] + layout.positions_BP).clamp_max(length - 1)
        if cache is not None:
            source = cache.source
        hidden, tapped = self._decode(tokens_BP.gather(1, own_BP), layout, source, taps, write)
        hidden_BPD = _joined(encoded_BSD, hidden, source.length_B, length)
        if tapped is None:
            return hidden_BPD, None
        return hidden_BPD, _joined(encoded_BSD, tapped, source.length_B, length)

    def _encode(self, tokens_BP: Tensor, length_B: Tensor) -> tuple[Tensor, SourceKeys]:
        """encoded_BSD of the rows' first length_B tokens, and the decoder's keys and values of it.
        UserError if a source is empty or longer than the encoder's limit."""
        shortest, longest = torch.stack((length_B.min(), length_B.max())).tolist()
        if shortest < 1 or longest > self.config.limit:
            raise UserError(
                f"a source of {longest if shortest else 0} tokens was given, but the encoder reads "
                f"1 to {self.config.limit}: shorten it, or give data.truncate=left or right"
            )
        index_S = torch.arange(longest, device=tokens_BP.device)
        mask_B11S = (index_S < length_B[:, None])[:, None, None]
        x_BSD = self.embed(tokens_BP[:, :longest])
        bias_BHSS = self.encoder_bias(Layout(index_S[None], mask_B11S))
        for block in self.encoder:
            x_BSD = block(x_BSD, bias_BHSS)
        x_BSD = self.encoder_norm(x_BSD)
        blocks: list[Any] = list(self.decoder)
        layers = [block.source_keys(x_BSD) for block in blocks]
        return x_BSD, SourceKeys(layers, mask_B11S, length_B.clone(), shortest, longest)

    def _decode(
        self,
        tokens_BP: Tensor,
        layout: Layout,
        source: SourceKeys,
        taps: tuple[int, ...],
        write: Callable[[int, Tensor, Tensor], tuple[Tensor, Tensor]] | None,
    ) -> tuple[Tensor, Tensor | None]:
        """`write` is `T5Cache.write`; None without a cache."""
        x_BPD, bias_BHPT = self.embed(tokens_BP), self.decoder_bias(layout)
        tapped = [x_BPD] if 0 in taps else []
        for layer, block in enumerate(self.decoder):
            store = None if write is None else functools.partial(write, layer)
            inputs = (x_BPD, bias_BHPT, source.layers[layer], source.mask_B11S, store)
            x_BPD = block.decode(*inputs)  # type: ignore[operator]
            if layer + 1 in taps:
                tapped.append(x_BPD)
        return self.norm(x_BPD), torch.cat(tapped, -1) if tapped else None

    def _scaled(self, hidden_nD: Tensor) -> Tensor:
        return hidden_nD * self.config.width**-0.5 if self.config.scaled else hidden_nD


def _causal(count: int, device: torch.device) -> Layout:
    """Of a whole text: a token sees the tokens before it and itself."""
    index_P = torch.arange(count, device=device)
    return Layout(index_P[None], (index_P <= index_P[:, None])[None, None])


def _joined(encoded_BSC: Tensor, decoded_BPC: Tensor, source_B: Tensor, length: int) -> Tensor:
    """Whole rows of `length` positions: encoded states over the source, decoded states after it."""
    offset_BT = torch.arange(length, device=source_B.device) - source_B[:, None]
    index_BT1 = offset_BT.clamp(0, decoded_BPC.shape[1] - 1)[..., None]
    decoded_BTC = decoded_BPC.gather(1, index_BT1.expand(-1, -1, decoded_BPC.shape[2]))
    repeats = decoded_BPC.shape[2] // encoded_BSC.shape[2]  # of tapped layers
    source_BTC = F.pad(encoded_BSC, (0, 0, 0, length - encoded_BSC.shape[1])).repeat(1, 1, repeats)
    return torch.where((offset_BT < 0)[..., None], source_BTC, decoded_BTC)
