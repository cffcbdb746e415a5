"""Rates from counts, and an interval that covers."""

from __future__ import annotations

import pytest
import torch

from litdraft.acceptance.counts import Counts, paired_bootstrap, repeated_4grams


def test_rates_by_hand() -> None:
    """Rounds that kept 0, 2 and 1, 3 of three drafts; the last of them drafted only one."""
    counts = Counts.of([[0, 2], [1, 3]], [[3, 3], [1, 3]], 3)
    assert counts.lengths_N.tolist() == [1, 1, 1, 1]
    assert counts.rounds == 4
    assert counts.mean_acceptance_length == 1 + 6 / 4
    assert counts.acceptance_rate == 6 / 10
    assert counts.survival == [3 / 4, 2 / 4, 1 / 4]
    assert counts.conditional_acceptance == [3 / 4, 2 / 3, 1 / 2]
    again = Counts.of_vector(counts.vector() + counts.vector())
    assert again.rounds == 8
    assert again.survival == counts.survival


def test_no_rounds_is_no_crash() -> None:
    assert Counts.of([[]], [[]], 2).mean_acceptance_length == 1.0


def test_repeated_4grams_by_hand() -> None:
    assert repeated_4grams([[1, 2, 3, 4, 1, 2, 3, 4], [1, 2, 3, 4]]) == (1, 6)
    assert repeated_4grams([[7] * 10]) == (6, 7)
    assert repeated_4grams([[1, 2]]) == (0, 0)


def test_the_interval_covers_the_true_ratio() -> None:
    """Of 200 experiments with a true speedup of 1.5, 95% should cover it; fewer than 87% would
    happen by chance once in 10^5."""
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for seed in range(200):
        difficulty = 1 + torch.rand(40, generator=generator)
        plain = difficulty * (1 + 0.1 * torch.randn(40, generator=generator))
        drafted = difficulty / 1.5 * (1 + 0.1 * torch.randn(40, generator=generator))
        tokens = torch.full((40,), 100.0)
        found = paired_bootstrap(drafted, tokens, plain, tokens, resamples=400, seed=seed)
        covered += found.low <= 1.5 <= found.high
        assert found.low < found.value < found.high
    assert covered >= 174


def test_the_same_times_are_no_speedup() -> None:
    seconds, tokens = torch.rand(9) + 1, torch.full((9,), 64.0)
    assert paired_bootstrap(seconds, tokens, seconds, tokens) == pytest.approx((1.0, 1.0, 1.0))
