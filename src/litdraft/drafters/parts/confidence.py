"""How likely a drafter's likeliest token is the target's."""

from __future__ import annotations

import torch
from torch import Tensor, nn


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
        """score_n, in log odds, and index_n of the likeliest token in the draft vocabulary."""
        logits_nU = logits_nU.to(torch.promote_types(logits_nU.dtype, torch.float32))
        top_n, index_n = logits_nU.max(-1)
        log_n = (top_n - logits_nU.logsumexp(-1)).clamp_max(-1e-6)
        odds_n = log_n - torch.log(-torch.expm1(log_n))
        state_n = states_nC[..., : len(self.weight_C)].to(self.weight_C.dtype) @ self.weight_C
        return self.odds * odds_n + state_n + self.shift, index_n
