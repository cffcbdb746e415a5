"""Counts below, rates above: what acceptance figures are made of."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Counts:
    """Integer counts of rounds: lengths_N[n] rounds kept exactly n drafts (N = K + 1),
    drafted_K[j] rounds drafted a token at position j."""

    lengths_N: Tensor
    drafted_K: Tensor

    @classmethod
    def of(
        cls, accepted: Iterable[Iterable[int]], drafted: Iterable[Iterable[int]], k: int
    ) -> Counts:
        """From a generation's lists: one number a round of every prompt."""
        kept_n = torch.tensor([count for row in accepted for count in row], dtype=torch.long)
        tried_n = torch.tensor([count for row in drafted for count in row], dtype=torch.long)
        positions_K = torch.arange(k)
        return cls(
            torch.bincount(kept_n, minlength=k + 1),
            (tried_n[:, None] > positions_K).sum(0),
        )

    @classmethod
    def of_vector(cls, vector: Tensor) -> Counts:
        """From what `vector` gave, perhaps summed over processes."""
        k = len(vector) // 2
        return cls(vector[: k + 1], vector[k + 1 :])

    def vector(self) -> Tensor:
        return torch.cat((self.lengths_N, self.drafted_K))

    @property
    def rounds(self) -> int:
        return int(self.lengths_N.sum())

    @property
    def accepted_K(self) -> Tensor:
        """Rounds with at least j accepted."""
        return self.lengths_N.flip(0).cumsum(0).flip(0)[1:]

    @property
    def mean_acceptance_length(self) -> float:
        """Emitted tokens a round, the recovered or bonus token included."""
        return 1 + int(self.accepted_K.sum()) / max(self.rounds, 1)

    @property
    def acceptance_rate(self) -> float:
        """Accepted / drafted tokens."""
        return int(self.accepted_K.sum()) / max(int(self.drafted_K.sum()), 1)

    @property
    def conditional_acceptance(self) -> list[float]:
        """Accepted at j / rounds that reached j."""
        reached = [self.rounds, *self.accepted_K.tolist()[:-1]]
        return [a / max(r, 1) for a, r in zip(self.accepted_K.tolist(), reached, strict=True)]

    @property
    def survival(self) -> list[float]:
        """Rounds with at least j accepted / rounds."""
        return [count / max(self.rounds, 1) for count in self.accepted_K.tolist()]


class Interval(NamedTuple):
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


def repeated_4grams(texts: Iterable[Sequence[int]]) -> tuple[int, int]:
    """How many 4-grams stood in the same text before, and how many there are."""
    repeated = total = 0
    for text in texts:
        grams = [tuple(text[place : place + 4]) for place in range(len(text) - 3)]
        repeated += len(grams) - len(set(grams))
        total += len(grams)
    return repeated, total


def paired_bootstrap(
    seconds_n: Tensor,
    tokens_n: Tensor,
    baseline_seconds_n: Tensor,
    baseline_tokens_n: Tensor,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """Speedup in time per token, and how it spreads when prompts are drawn again in pairs.

    Efron (1979). n counts what was timed together: prompts, or batches of them.
    """
    parts_4n = torch.stack(
        [x.double() for x in (baseline_seconds_n, baseline_tokens_n, seconds_n, tokens_n)]
    )
    generator = torch.Generator().manual_seed(seed)
    count = parts_4n.shape[1]
    drawn = torch.randint(count, (resamples, count), generator=generator)
    sums_4r = parts_4n[:, drawn].sum(-1)
    ratios_r = ratio(sums_4r)
    low, high = torch.quantile(ratios_r, torch.tensor([0.025, 0.975], dtype=torch.double)).tolist()
    return Interval(float(ratio(parts_4n.sum(1))), low, high)


def ratio(sums_4: Tensor) -> Tensor:
    """Time per token against the baseline's, from its seconds and tokens and then one's own."""
    baseline_seconds, baseline_tokens, seconds, tokens = sums_4
    faster: Tensor = (baseline_seconds / baseline_tokens) / (seconds / tokens)
    return faster
