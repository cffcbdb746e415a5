"""What a drafter takes from the text that was given: the encoder's hidden states over a source, or
a prompt's."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.errors import UserError

KINDS = ("pooled", "attention")


@dataclass
class Remembered:
    """hidden_BSD over what was given, its keys, and mask_B1S of what is no padding."""

    hidden_BSD: Tensor
    keys_BSE: Tensor
    mask_B1S: Tensor


class Source(nn.Module):
    """A vector of what was given for every start of a draft: the mean over its hidden states
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
        """From hidden states over prompts and what may stand behind them. The prompt's last token
        is an encoder-decoder's start token, or one that a draft starts from: it is left out, unless
        it is all there is."""
        given_B1 = (prompt_B - 1).clamp_min(1)[:, None]
        hidden_BSD = hidden_BPD[:, : int(given_B1.max())].to(self.dtype(hidden_BPD))
        mask_BS = torch.arange(hidden_BSD.shape[1], device=prompt_B.device) < given_B1
        if self.kind == "attention":
            return Remembered(hidden_BSD, self.key(hidden_BSD), mask_BS[:, None])
        weight_BS1 = mask_BS[..., None] / given_B1[..., None].to(hidden_BSD.dtype)
        mean_B1D = (hidden_BSD * weight_BS1).sum(1, keepdim=True)
        return Remembered(mean_B1D, mean_B1D, mask_BS[:, None, :1])

    def forward(self, hidden_BPD: Tensor, remembered: Remembered) -> Tensor:
        """source_BPD for drafts that start at these hidden states."""
        if self.kind == "pooled":
            return remembered.hidden_BSD.expand(-1, hidden_BPD.shape[1], -1)
        return F.scaled_dot_product_attention(
            self.query(hidden_BPD), remembered.keys_BSE, remembered.hidden_BSD, remembered.mask_B1S
        )

    def dtype(self, like: Tensor) -> torch.dtype:
        return self.key.weight.dtype if self.kind == "attention" else like.dtype
