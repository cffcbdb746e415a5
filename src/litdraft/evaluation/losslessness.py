"""Judging every emitted token: the target's own choice, a near tie, or a bug.

A pass over k + 1 rows rounds differently from a pass over one row, so greedy texts may diverge
where two tokens are almost equally likely. The emitted texts are therefore read once more,
teacher-forced and in float32: each token must be the argmax, or as close to it as this dtype can
distinguish.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.protocols import Target


def verifies(decoder: Any, name: str) -> None:
    """UserError if a decoder accepts drafts without verifying them: its texts differ from the
    target's by design, so judging them token by token would report a bug that is none."""
    if not decoder.lossless:
        raise UserError(
            f"decoding={name} is lossy: it keeps tokens that the target did not choose, so the "
            "losslessness check refuses it; decoding=gated verifies the same drafts"
        )


@dataclass(frozen=True)
class Verdicts:
    """Integer sums over prompts and tokens."""

    prompts: int = 0
    identical: int = 0
    near_ties: int = 0
    mismatches: int = 0

    def __add__(self, other: Verdicts) -> Verdicts:
        return Verdicts(
            self.prompts + other.prompts,
            self.identical + other.identical,
            self.near_ties + other.near_ties,
            self.mismatches + other.mismatches,
        )


@torch.no_grad()
def judge(
    reference: Target,
    prompts: Sequence[Sequence[int]],
    emitted: Sequence[Sequence[int]],
    plain: Sequence[Sequence[int]],
    tolerance: float,
) -> Verdicts:
    """Judge greedy texts by the float32 `reference`.

    identical counts the prompts whose text equals the plainly decoded one token for token;
    near_ties the tokens that are not the argmax but within `tolerance` (in logits) of it;
    mismatches all others, also where a logit is not a number, and the tokens that are missing or
    surplus where one text is a prefix of the other: no tie explains those. A tolerance that is not
    finite counts as 0.
    """
    tolerance = tolerance if math.isfinite(tolerance) else 0.0
    total = Verdicts()
    for prompt, text, other in zip(prompts, emitted, plain, strict=True):
        chosen_S = torch.tensor(text, dtype=torch.long)
        gaps_S = shortfall(logits_of(reference, prompt, text), chosen_S)
        total += Verdicts(
            prompts=1,
            identical=int(list(text) == list(other)),
            near_ties=int(((gaps_S > 0) & (gaps_S <= tolerance)).sum()),
            mismatches=int((~(gaps_S <= tolerance)).sum()) + miscut(text, other),
        )
    return total


def miscut(text: Sequence[int], other: Sequence[int]) -> int:
    """By how many tokens one text is longer than the other, if one is a prefix of the other."""
    agree = all(token == peer for token, peer in zip(text, other, strict=False))
    return abs(len(text) - len(other)) if agree else 0


def shortfall(logits_SV: Tensor, tokens_S: Tensor) -> Tensor:
    """How far each token's logit is below the largest one; 0 for the argmax, NaN with a NaN."""
    tokens_S = tokens_S.to(logits_SV.device)
    chosen_S = logits_SV.gather(1, tokens_S[:, None])[:, 0]
    return logits_SV.amax(1) - chosen_S


@torch.no_grad()
def logits_of(target: Target, prompt: Sequence[int], text: Sequence[int]) -> Tensor:
    """logits_SV that each token of a text was chosen from; teacher-forced, one pass."""
    tokens_BP = torch.tensor([[*prompt, *text][:-1]], device=target.device)
    prompt_B = torch.tensor([len(prompt)], device=target.device)
    hidden_PD = target.forward(tokens_BP, prompt_B=prompt_B).hidden_BPD[0, len(prompt) - 1 :]
    return target.unembed(hidden_PD).float()


@torch.no_grad()
def measured_error(
    reference: Target, decoding: Target, prompt: Sequence[int], text: Sequence[int], k: int
) -> float:
    """Largest difference in logits between float32 and decoding, in decoding's own shapes.

    The decoding target reads the prompt, then one token per pass as plain decoding does, then the
    same again with k + 1 tokens per pass as a round does: either shape may round where the other
    agrees with float32 to the bit. Both errors of a comparison count, so a near tie is a gap within
    twice this.
    """
    exact_SV = logits_of(reference, prompt, text)
    read = (stepwise(decoding, prompt, text, tokens) for tokens in (1, k + 1))
    return max(float((logits_SV - exact_SV).abs().max()) for logits_SV in read)


def stepwise(target: Target, prompt: Sequence[int], text: Sequence[int], tokens: int) -> Tensor:
    """logits_SV that each token of a text was chosen from; `tokens` per pass, after the cache."""
    cache = target.allocate(1, len(prompt) + len(text) + tokens)
    tokens_BT = torch.tensor([[*prompt, *text][:-1]], device=target.device)
    prompt_B = torch.full_like(cache.length_B, len(prompt))
    passes = [target.forward(tokens_BT[:, : len(prompt)], cache, prompt_B=prompt_B).hidden_BPD[0]]
    cache.keep(prompt_B)
    for some_BP in tokens_BT[:, len(prompt) :].split(tokens, 1):
        passes.append(target.forward(some_BP, cache).hidden_BPD[0])
        cache.keep(torch.full_like(cache.length_B, some_BP.shape[1]))
    hidden_SD = torch.cat(passes)[len(prompt) - 1 :]
    return target.unembed(hidden_SD).float()
