"""How good unverified text is: judged by the target itself, and compared with what the target
writes alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from sacrebleu.metrics.bleu import BLEU

from litdraft.evaluation.losslessness import logits_of
from litdraft.evaluation.quality import figures, sums
from litdraft.protocols import Target
from litdraft.sampling import Sampling
from litdraft.tokenizers.base import Tokenizer

Texts = Sequence[Sequence[int]]


class Judged(NamedTuple):
    """Sums over texts: emitted tokens and their -log probability at temperature 1; how many of them
    were accepted drafts, and how much probability the target gives to those under the sampling
    (greedily: how many of them are its argmax)."""

    tokens: int
    nats: float
    accepted: int
    agreed: float

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / max(self.tokens, 1))

    @property
    def agreement(self) -> float | None:
        return self.agreed / self.accepted if self.accepted else None


@torch.no_grad()
def judged(
    reference: Target, prompts: Texts, texts: Texts, accepted: Texts | None, sampling: Sampling
) -> Judged:
    """`accepted` are each round's accepted drafts; None if nothing was drafted."""
    tokens = count = 0
    nats = agreed = 0.0
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        logits_SV = logits_of(reference, prompt, text)
        chosen_S1 = torch.tensor(text, device=logits_SV.device)[:, None]
        nats -= float(logits_SV.log_softmax(-1).gather(1, chosen_S1).double().sum())
        tokens += len(text)
        if accepted is not None:
            drafted = drafts(accepted[row], len(text))
            probs_S = sampling.probs(logits_SV).gather(1, chosen_S1)[:, 0]
            count += len(drafted)
            agreed += float(probs_S[drafted].double().sum())
    return Judged(tokens, nats, count, agreed)


def drafts(accepted: Sequence[int], length: int) -> list[int]:
    """Which tokens of a text were drafts: the first one is the prefill's, and each round's drafts
    are followed by one of the target's."""
    indices: list[int] = []
    start = 1
    for count in accepted:
        indices += range(start, start + count)
        start += count + 1
    return [index for index in indices if index < length]


@dataclass(frozen=True)
class Likeness:
    """Of texts to those that the target wrote alone, shares of 1: BLEU (Papineni et al., 2002;
    sacrebleu's, corpus), ROUGE-L (see `quality`), and how many texts are the same."""

    bleu: float
    rougeL: float
    identical: float


def likeness(tokenizer: Tokenizer, texts: Texts, alone: Texts) -> Likeness:
    """Compare `texts` with those that the target wrote `alone`."""
    ours, theirs = ([tokenizer.decode(text) for text in some] for some in (texts, alone))
    same = sum(list(a) == list(b) for a, b in zip(texts, alone, strict=True))
    return Likeness(
        BLEU().corpus_score(ours, [theirs]).score / 100,
        figures(sums(ours, theirs)).rougeL,
        same / len(texts),
    )
