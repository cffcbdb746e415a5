"""Calibration, thresholds and errors, against numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.fakes import SENTENCEWISE, Pieces, gated, random_target

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.parts.sentencewise import Sentencewise
from litdraft.drafters.word_completion import WordCompletion
from litdraft.errors import UserError
from litdraft.evaluation.calibration import (
    ScoredPositions,
    fit_platt,
    least_threshold,
    probabilities,
    score_positions,
)
from litdraft.evaluation.calibration_figures import calibration_error
from litdraft.evaluation.losslessness import verifies
from litdraft.evaluation.lossy_quality import drafts, judged
from litdraft.protocols import StopRule
from litdraft.sampling import Sampling


def drawn(count: int, scale: float, shift: float) -> ScoredPositions:
    """Scores, and agreement drawn with the probabilities that follow from them."""
    random = np.random.default_rng(3)
    score_n = random.normal(0, 3, count)
    prob_n = 1 / (1 + np.exp(-(scale * score_n + shift)))
    agreed_n = (random.random(count) < prob_n).astype(float)
    return ScoredPositions(score_n, agreed_n, prob_n)


def test_calibration_recovers_the_true_parameters() -> None:
    scored = drawn(200_000, 0.7, -0.4)
    scale, shift = fit_platt(scored)
    assert scale == pytest.approx(0.7, abs=0.02)
    assert shift == pytest.approx(-0.4, abs=0.02)
    prob_n = probabilities(scored, scale, shift)
    assert calibration_error(prob_n, scored.agreed_n) < 0.005
    wrong = calibration_error(probabilities(scored, 1.5, 0.5), scored.agreed_n)
    assert wrong > 0.05
    assert calibration_error(np.full(10, 0.3), np.eye(10)[0]) == pytest.approx(0.2)


def test_perfectly_separating_scores_still_calibrate() -> None:
    """Where the likelihood has no maximum: finite, and on the right side."""
    score_n = np.linspace(-1, 1, 40)
    scale, shift = fit_platt(ScoredPositions(score_n, (score_n > 0).astype(float), score_n))
    assert 1 < scale < 1e6
    assert abs(shift) < 1


def test_the_threshold_is_the_least_that_agrees_often_enough() -> None:
    prob_n = np.repeat([0.9, 0.6, 0.3], 40)
    agreed_n = np.concatenate([np.ones(40), np.arange(40) % 10 > 0, np.zeros(40)])
    assert least_threshold(prob_n, agreed_n, 1.0) == 0.9
    assert least_threshold(prob_n, agreed_n, 0.95) == 0.6
    assert least_threshold(prob_n, agreed_n, 0.5) == 0.3
    assert least_threshold(prob_n, 1 - agreed_n, 0.5) is None
    assert least_threshold(prob_n[:10], agreed_n[:10], 0.5) is None, "too few to be believed"


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7)])
def test_scored_tokens_are_those_that_rounds_propose(sampling: Sampling) -> None:
    """Drafts of one token, started at every position: tokens and scores, and what the target
    accepts."""
    target = random_target()
    prompts = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 8, 2]]
    texts = Autoregress(target, sampling).generate(prompts, 30).tokens
    for family in SENTENCEWISE:
        drafter = family(target).eval()
        assert isinstance(drafter, Sentencewise)
        drafter.bind(target)
        scored = score_positions(target, drafter, prompts, texts, sampling)
        assert len(scored.score_n) == 3 * 29
        drafter.rule = None
        if sampling.greedy:
            # Every position is scored, and rounds that draft one token see some of them.
            found = Speculate(target, drafter, 1, sampling).generate(prompts, 30)
            assert found.tokens == texts
            accepted = sum(map(sum, found.accepted))
            assert accepted <= scored.agreed_n.sum()
            assert set(scored.agreed_n) <= {0.0, 1.0}
        assert (scored.target_prob_n > 0).all()


def test_drafting_stops_below_the_threshold() -> None:
    """Every draft reaches the threshold of the stop rule; without one there are more drafts."""
    target = random_target()
    drafter = gated(WordCompletion(target.spec, width=10)).eval()
    assert isinstance(drafter, Sentencewise)
    drafter.bind(target)
    texts = Autoregress(target, Sampling()).generate([[1, 5, 6]], 60).tokens
    scored = score_positions(target, drafter, [[1, 5, 6]], texts, Sampling())
    middle = float(np.median(probabilities(scored, 0.9, 0.1)))
    counts = {}
    for threshold in (0.0, middle, 2.0):
        drafter.set_stop_rule(StopRule(0.9, 0.1, threshold, drafter.cumulative))
        found = Speculate(target, drafter, 3, Sampling()).generate([[1, 5, 6]], 60)
        counts[threshold] = sum(map(sum, found.drafted))
    assert counts[0.0] > counts[middle] > counts[2.0] == 0


def test_which_tokens_were_drafts() -> None:
    assert drafts([2, 0, 1], 8) == [1, 2, 5]
    assert drafts([2, 3], 5) == [1, 2, 4]
    target = random_target(dtype=torch.float32)
    plain = Autoregress(target, Sampling()).generate([[1, 5]], 20).tokens
    own = judged(target, [[1, 5]], plain, [[3] * 5], Sampling())
    assert own.agreement == 1.0, "the target agrees with itself"
    assert own.tokens == 20


def test_the_check_of_losslessness_refuses_what_is_lossy() -> None:
    from litdraft.decoding.lossy import Phrase, Skip

    target = random_target()
    drafter = WordCompletion(target.spec, width=4)
    drafter.set_tokenizer(Pieces())
    verifies(Speculate(target, drafter, 2, Sampling()), "speculative")
    for decoder in (
        Skip(target, drafter, 2, Sampling()),
        Phrase(target, drafter, 2, Sampling(), bound=0.1),
    ):
        with pytest.raises(UserError, match=r"decoding=\w+ is lossy: .* refuses it"):
            verifies(decoder, "word_completion")
