"""What text costs that a target did not verify: judged by the target itself, and against what it
would have written."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from sacrebleu.metrics.bleu import BLEU

from litdraft.evaluation.losslessness import logits_behind
from litdraft.evaluation.quality import figures, sums
from litdraft.protocols import Target
from litdraft.sampling import Sampling
from litdraft.tokenizers.base import Tokenizer

Texts = Sequence[Sequence[int]]


class Judged(NamedTuple):
    """Sums over texts: emitted tokens, and their -log probability at temperature 1; how many of
    them were drafts that stayed, and how much of their probability the target, writing as it does,
    puts on them (greedily, how many are its own)."""

    tokens: int
    nats: float
    kept: int
    agreed: float

    @property
    def perplexity(self) -> float:
        return math.exp(self.nats / max(self.tokens, 1))

    @property
    def agreement(self) -> float | None:
        return self.agreed / self.kept if self.kept else None


@torch.no_grad()
def judged(
    reference: Target, prompts: Texts, texts: Texts, accepted: Texts | None, sampling: Sampling
) -> Judged:
    """`accepted` are the drafts of every round that stayed; None where nothing was drafted."""
    tokens = kept = 0
    nats = agreed = 0.0
    for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
        logits_SV = logits_behind(reference, prompt, text)
        chosen_S1 = torch.tensor(text, device=logits_SV.device)[:, None]
        nats -= float(logits_SV.log_softmax(-1).gather(1, chosen_S1).double().sum())
        tokens += len(text)
        if accepted is not None:
            stayed = drafts(accepted[row], len(text))
            probs_S = sampling.probs(logits_SV).gather(1, chosen_S1)[:, 0]
            kept += len(stayed)
            agreed += float(probs_S[stayed].double().sum())
    return Judged(tokens, nats, kept, agreed)


def drafts(accepted: Sequence[int], length: int) -> list[int]:
    """Which tokens of a text were drafts: the first one is the prefill's, and each round's drafts
    are followed by one of the target's."""
    places: list[int] = []
    at = 1
    for count in accepted:
        places += range(at, at + count)
        at += count + 1
    return [place for place in places if place < length]


def likeness(tokenizer: Tokenizer, texts: Texts, own: Texts) -> dict[str, float]:
    """Of texts to those that the target wrote by itself, shares of 1: BLEU (Papineni et al., 2002;
    sacrebleu's, corpus) and ROUGE-L (see `quality`), and the share of texts that are the same."""
    ours, theirs = ([tokenizer.decode(text) for text in some] for some in (texts, own))
    return {
        "bleu": BLEU().corpus_score(ours, [theirs]).score / 100,
        "rougeL": figures(sums(ours, theirs))["rougeL"],
        "same": sum(list(a) == list(b) for a, b in zip(texts, own, strict=True)) / len(texts),
    }
