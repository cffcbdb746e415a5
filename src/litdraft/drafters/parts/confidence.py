"""How sure a drafter is of its likeliest token, and from where on that is sure enough."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Gate(NamedTuple):
    """A score's probability is sigmoid(scale x score + shift) (Platt, 1999); what reaches
    `threshold` passes. In a `running` gate that must be the product along the draft: the chance
    that all of it is right so far."""

    scale: float = 1.0
    shift: float = 0.0
    threshold: float = 0.0
    running: bool = False

    def log_probs(self, score: Tensor) -> Tensor:
        return F.logsigmoid(self.scale * score + self.shift)

    def passes(self, log_probs: Tensor) -> Tensor:
        return log_probs.exp() >= self.threshold


class Confidence(nn.Module):
    """A logistic regression on a drafter's own odds for its likeliest token and, of a network, on
    its state. Before it has learned anything it repeats those odds."""

    def __init__(self, width: int) -> None:
        """`width` of the states that it looks at; 0 for the odds alone."""
        super().__init__()
        self.weight_C = nn.Parameter(torch.zeros(width))
        self.odds = nn.Parameter(torch.ones(()))
        self.shift = nn.Parameter(torch.zeros(()))

    def forward(self, states_nC: Tensor, logits_nU: Tensor) -> tuple[Tensor, Tensor]:
        """score_n, in log odds, and place_n of the likeliest token in the draft vocabulary."""
        logits_nU = logits_nU.to(torch.promote_types(logits_nU.dtype, torch.float32))
        top_n, place_n = logits_nU.max(-1)
        log_n = (top_n - logits_nU.logsumexp(-1)).clamp_max(-1e-6)
        odds_n = log_n - torch.log(-torch.expm1(log_n))
        seen_n = states_nC[..., : len(self.weight_C)].to(self.weight_C.dtype) @ self.weight_C
        return self.odds * odds_n + seen_n + self.shift, place_n
