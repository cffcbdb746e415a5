"""Logits -> probabilities -> tokens. Temperature 0 is the one-hot limit of the same rule.

Randomness arrives as uniforms keyed by (seed, row, round), so what a row says depends neither on
the batch it is in, nor on the process, nor on a restart.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from litdraft.limits import check_sampling
from litdraft.native.build import loaded


@dataclass(frozen=True)
class Sampling:
    """Temperature, then top-k, then top-p (nucleus, arXiv 1904.09751); 0, 0 and 1 are greedy,
    off and off."""

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0

    def __post_init__(self) -> None:
        check_sampling(self.temperature, self.top_k, self.top_p)

    @property
    def greedy(self) -> bool:
        return self.temperature == 0.0

    @property
    def only_temperature(self) -> float | None:
        """The temperature, if that is all there is to it; 0 is greedy."""
        return self.temperature if self.top_k == 0 and self.top_p == 1.0 else None

    def probs(self, logits: Tensor) -> Tensor:
        """The distribution that tokens are drawn from, at least float32; one-hot when greedy."""
        logits = logits if logits.dtype == torch.float64 else logits.float()
        if self.greedy:
            best = logits.argmax(-1, keepdim=True)
            return torch.zeros_like(logits).scatter_(-1, best, 1.0)
        logits = logits / self.temperature
        if 0 < self.top_k < logits.shape[-1]:
            least = logits.topk(self.top_k, dim=-1).values[..., -1:]
            logits = logits.masked_fill(logits < least, float("-inf"))
        probs = logits.softmax(-1)
        return probs if self.top_p == 1.0 else _nucleus(probs, self.top_p)


def _nucleus(probs: Tensor, top_p: float) -> Tensor:
    """Keep the likeliest tokens until their mass reaches top_p, the one that crosses included."""
    ordered, order = probs.sort(dim=-1, descending=True, stable=True)
    before = ordered.cumsum(-1) - ordered
    kept = torch.zeros_like(probs).scatter_(-1, order, ordered * (before < top_p))
    return kept / kept.sum(-1, keepdim=True)


def draw(weights_nV: Tensor, uniforms_n: Tensor) -> Tensor:
    """Tokens by inversion of the cumulated weights, which need not sum to one; never one of
    weight zero."""
    if weights_nV.dtype == torch.float32 and loaded(weights_nV):
        tokens: Tensor = torch.ops.litdraft.draw.default(
            weights_nV.contiguous(), uniforms_n.double().contiguous()
        )
        return tokens
    mass_nV = weights_nV.double().cumsum(-1)
    wanted_n1 = uniforms_n.double()[:, None] * mass_nV[:, -1:]
    tokens_n = torch.searchsorted(mass_nV, wanted_n1, right=True)[:, 0]
    last_n = torch.searchsorted(mass_nV, mass_nV[:, -1:].contiguous())[:, 0]
    return torch.minimum(tokens_n, last_n)


def choose(
    logits_nV: Tensor, sampling: Sampling, uniforms_n: Tensor
) -> tuple[Tensor, Tensor | None]:
    """A drafter's one step: tokens_n, and probs_nV they were drawn from (None when greedy)."""
    if sampling.greedy:
        return logits_nV.argmax(-1), None
    probs_nV = sampling.probs(logits_nV)
    return draw(probs_nV, uniforms_n), probs_nV


def uniforms(seed: int, row_B: Tensor, round_B: Tensor, count: int) -> Tensor:
    """uniforms_Bn in [0, 1), float64: a pure function of (seed, row, round, place).

    SplitMix64's finalizer (Steele, Lea and Flood, OOPSLA 2014) applied once per key part.
    """
    if loaded(row_B):
        drawn_Bn: Tensor = torch.ops.litdraft.uniforms.default(seed, row_B, round_B, count)
        return drawn_Bn
    place_n = torch.arange(count, device=row_B.device)
    key_B1 = _mix(_mix(torch.full_like(row_B, seed)) + row_B)
    key_B1 = _mix(key_B1 + round_B)[:, None]
    return _shift(_mix(key_B1 + place_n), 11).double() * 2.0**-53


def _mix(x: Tensor) -> Tensor:
    x = x + -7046029254386353131
    x = (x ^ _shift(x, 30)) * -4658895280553007687
    x = (x ^ _shift(x, 27)) * -7723592293110705685
    return x ^ _shift(x, 31)


def _shift(x: Tensor, bits: int) -> Tensor:
    """Logical right shift of int64."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def log_softmax(logits_nV: Tensor) -> Tensor:
    """In float32 at least: half precision logits make poor losses."""
    return F.log_softmax(logits_nV if logits_nV.dtype == torch.float64 else logits_nV.float(), -1)
