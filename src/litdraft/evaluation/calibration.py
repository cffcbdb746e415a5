"""Calibration of a drafter's confidence, and the stop rule that follows: fitting.

Everything is fitted on text that the target wrote, because decoding runs over such text. How good a
fit is, on other text, is computed in `calibration_figures`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from rich.progress import Progress
from torch import Tensor

from litdraft.acceptance.replay import CHUNK, Padded
from litdraft.errors import UserError
from litdraft.evaluation.average_precision import ranking
from litdraft.evaluation.setup import Setup, prompts_of, writer_of
from litdraft.protocols import Confident, Drafter, StopRule, Target, TrainingBatch
from litdraft.sampling import Sampling

FEWEST = 20  # positions that a threshold must let through
ROWS = 8  # texts read at a time
NEVER = 2.0  # a threshold that no probability reaches

Floats = NDArray[np.float64]


class ScoredPositions(NamedTuple):
    """At n positions of texts: the score of the drafter's likeliest token (log odds), the
    probability that the target's next token is the same (0 or 1 if it writes greedily), and the
    probability that the target gives to that token at temperature 1."""

    score_n: Floats
    agreed_n: Floats
    target_prob_n: Floats


@dataclass(frozen=True)
class Fit:
    """probability = sigmoid(scale x score + shift) (Platt, 1999), and what it was fitted on."""

    scale: float
    shift: float
    scored: ScoredPositions

    def threshold(self, agreement: float) -> float | None:
        """From which probability on this share agrees; None if there is none."""
        prob_n = probabilities(self.scored, self.scale, self.shift)
        return least_threshold(prob_n, self.scored.agreed_n, agreement)


@torch.inference_mode()
def score_positions(
    target: Target,
    drafter: Drafter,
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Sequence[int]],
    sampling: Sampling,
    advance: Callable[[int], None] | None = None,
) -> ScoredPositions:
    """At every position of the texts where a draft may start: after their first token. The drafter
    is `Confident`."""
    assert isinstance(drafter, Confident)
    parts = []
    for first in range(0, max(len(prompts), len(texts)), ROWS):
        some = slice(first, first + ROWS)
        padded = Padded.of(prompts[some], texts[some], target.device)
        tokens_BT, prompt_B = padded.tokens_BT, padded.prompt_B
        output = target.forward(tokens_BT[:, :-1], taps=drafter.needs.taps, prompt_B=prompt_B)
        position_S = torch.arange(tokens_BT.shape[1] - 1, device=target.device)
        chosen_BS = (position_S >= prompt_B[:, None]) & (position_S < padded.length_B[:, None] - 1)
        guess = drafter.guesses(
            TrainingBatch(
                tokens_BT, chosen_BS, output.hidden_BPD, output.taps_BPC, 1, None, prompt_B
            )
        )
        hidden_nD, token_n = output.hidden_BPD[chosen_BS], guess.token_BS[chosen_BS]
        probs = _target_probs(target, hidden_nD, token_n, sampling)
        parts.append((guess.score_BS[chosen_BS], *probs))
        if advance:
            advance(len(tokens_BT))
    columns = (torch.cat(column).double().cpu().numpy() for column in zip(*parts, strict=True))
    return ScoredPositions(*columns)


def _target_probs(
    target: Target, hidden_nD: Tensor, token_n: Tensor, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """What the target gives to these tokens: under the sampling, and at temperature 1."""
    parts = []
    for some_nD, some_n in zip(hidden_nD.split(CHUNK), token_n.split(CHUNK), strict=True):
        logits_nV = target.unembed(some_nD).float()
        both = (sampling.probs(logits_nV), logits_nV.softmax(-1))
        parts.append(torch.stack([probs.gather(1, some_n[:, None])[:, 0] for probs in both]))
    agreed_n, target_prob_n = torch.cat(parts, 1)
    return agreed_n, target_prob_n


def fit_platt(scored: ScoredPositions) -> tuple[float, float]:
    """Scale and shift that make a sigmoid of the score the probability of agreeing: logistic
    regression (Platt, 1999) by Newton's method, slightly regularized towards 1 and 0."""
    design_n2 = np.stack([scored.score_n, np.ones_like(scored.score_n)], 1)
    start_2, ridge_22 = np.array([1.0, 0.0]), 1e-3 * np.eye(2)
    weights_2 = start_2
    for _ in range(50):
        probs_n = sigmoid(design_n2 @ weights_2)
        gradient_2 = design_n2.T @ (probs_n - scored.agreed_n) + ridge_22 @ (weights_2 - start_2)
        hessian_22 = (design_n2 * (probs_n * (1 - probs_n))[:, None]).T @ design_n2 + ridge_22
        step_2 = np.linalg.solve(hessian_22, gradient_2)
        weights_2 = weights_2 - step_2 / max(1.0, float(np.abs(step_2).max()))
        if np.abs(step_2).max() < 1e-9:
            break
    return float(weights_2[0]), float(weights_2[1])


def sigmoid(x_n: Floats) -> Floats:
    probs_n: Floats = 1 / (1 + np.exp(-np.clip(x_n, -60, 60)))
    return probs_n


def probabilities(scored: ScoredPositions, scale: float, shift: float) -> Floats:
    return sigmoid(scale * scored.score_n + shift)


def least_threshold(prob_n: Floats, agreed_n: Floats, wanted: float) -> float | None:
    """The smallest probability from which on at least a share `wanted` agrees; None if no threshold
    that FEWEST positions reach does."""
    order_n, last_t = ranking(prob_n)
    rate_t = agreed_n[order_n].cumsum()[last_t] / (last_t + 1)
    good_t = np.flatnonzero((rate_t >= wanted) & (last_t + 1 >= FEWEST))
    return float(prob_n[order_n[last_t[good_t[-1]]]]) if len(good_t) else None


def check_confident(drafter: Drafter, mode: str) -> None:
    """UserError unless the drafter has a confidence."""
    if not isinstance(drafter, Confident):
        raise UserError(
            f"decoding={mode} needs a drafter that estimates its confidence, which drafter="
            f"{drafter.name} does not: train drafter=word_completion or drafter=sentence"
        )


def calibrate(setup: Setup, sampling: Sampling, count: int) -> Fit:
    """Fit on what the target writes after `count` validation prompts, under the same sampling."""
    prompts = prompts_of(setup, "validation", count).prompts()
    rows = writer_of(setup).write(prompts, setup.options.max_new_tokens, sampling)
    texts = [rows[row][0][len(prompt) :].tolist() for row, prompt in enumerate(prompts)]
    with Progress(transient=True) as progress:
        task = progress.add_task("calibrating", total=len(prompts))
        scored = score_positions(
            setup.target,
            setup.drafter,
            prompts,
            texts,
            sampling,
            lambda n: progress.advance(task, n),
        )
    if not len(scored.score_n):
        raise UserError(
            f"the target ends its text at once after each of {len(prompts)} validation prompts, so "
            "nothing can be calibrated: give other data, or more of decoding.validation="
        )
    return Fit(*fit_platt(scored), scored)


def set_stop_rule(drafter: Drafter, fit: Fit, threshold: float | None) -> None:
    """Draft where the calibrated probability is at least the threshold; None: never."""
    assert isinstance(drafter, Confident)
    least = NEVER if threshold is None else threshold
    drafter.set_stop_rule(StopRule(fit.scale, fit.shift, least, drafter.cumulative))
