"""What a drafter learns from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class TrainingBatch:
    """Text with the target's hidden states over it: what a drafter learns from.

    hidden_BSD[s] has read tokens_BT[..s] and predicts tokens_BT[s + 1]; S = T - 1. It is None
    where a language model is trained on text alone.
    trained_BS marks the s whose predicted token counts in the loss. start_BS, in packed rows,
    says where the text of x_s begins; prompt_B, in others, how many tokens were given.
    """

    tokens_BT: Tensor
    trained_BS: Tensor
    hidden_BSD: Tensor | None
    taps_BSC: Tensor | None
    k: int
    start_BS: Tensor | None = None
    prompt_B: Tensor | None = None


Teacher = Callable[[Tensor], Tensor]  # flat positions to a target's logits_nV
