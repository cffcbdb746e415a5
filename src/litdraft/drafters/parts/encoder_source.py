"""What a head takes from an encoder-decoder's source: the encoder's hidden states over it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.errors import UserError
from litdraft.networks.cache import round_up

KINDS = ("pooled", "attention")


@dataclass
class Remembered:
    """hidden_BSD over the source, its keys, and mask_B1S of what is no padding."""

    hidden_BSD: Tensor
    keys_BSE: Tensor
    mask_B1S: Tensor


class SourceReader(nn.Module):
    """A vector of the source for every start of a draft: the mean over its hidden states
    (pooled), or what one head of attention takes from them (attention, `width` wide)."""

    def __init__(self, inputs: int, kind: str, width: int) -> None:
        super().__init__()
        if kind not in KINDS:
            raise UserError(f"drafter.source={kind} was given: choose null or {' or '.join(KINDS)}")
        self.kind = kind
        if kind == "attention":
            self.query = nn.Linear(inputs, width, bias=False)
            self.key = nn.Linear(inputs, width, bias=False)

    def remember(self, hidden_BPD: Tensor, prompt_B: Tensor) -> Remembered:
        """From hidden states over prompts, the last token of which is the decoder's start token,
        and what may stand behind them."""
        given_B1 = (prompt_B - 1).clamp_min(1)[:, None]
        slots = round_up(int(given_B1.max()))  # so that shapes are few
        hidden_BSD = F.pad(hidden_BPD[:, :slots], (0, 0, 0, max(slots - hidden_BPD.shape[1], 0)))
        mask_BS = torch.arange(slots, device=prompt_B.device) < given_B1
        if self.kind == "attention":
            return Remembered(hidden_BSD, self.key(hidden_BSD), mask_BS[:, None])
        sum_BD = (hidden_BSD * mask_BS[..., None]).sum(1)
        mean_B1D = (sum_BD / given_B1)[:, None]
        return Remembered(mean_B1D, mean_B1D, mask_BS[:, None, :1])

    def forward(self, hidden_BPD: Tensor, remembered: Remembered) -> Tensor:
        """source_BPD for drafts that start at these hidden states."""
        if self.kind == "pooled":
            return remembered.hidden_BSD.expand(-1, hidden_BPD.shape[1], -1)
        return F.scaled_dot_product_attention(
            self.query(hidden_BPD), remembered.keys_BSE, remembered.hidden_BSD, remembered.mask_B1S
        )
