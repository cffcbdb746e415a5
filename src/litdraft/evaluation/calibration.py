"""How sure a drafter says it is, and how right it is then: calibration, thresholds and errors.

Everything is judged on text that the target wrote, because decoding walks over that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from litdraft.acceptance.replay import CHUNK, Padded
from litdraft.evaluation.average_precision import curve, ranking
from litdraft.protocols import Needs, Target, TrainingBatch
from litdraft.sampling import Sampling

CERTAIN = (0.9, 0.99)  # probabilities that the target itself gives to a token
FEWEST = 20  # positions that a threshold must let through, and that a mean is taken of
BINS = 10
ROWS = 8  # texts read at a time

Floats = NDArray[np.float64]


class Guesser(Protocol):
    """A drafter that says how sure it is (`drafters.sentencewise`)."""

    needs: Needs

    def guesses(self, training_batch: TrainingBatch) -> Any: ...


class Heard(NamedTuple):
    """At n places of texts: the score of the likeliest token, the probability that the target's
    next token is the same (0 or 1 where it writes greedily), and the probability that the target
    gives to it at temperature 1."""

    score_n: Floats
    agreed_n: Floats
    sure_n: Floats


@torch.inference_mode()
def hear(
    target: Target,
    drafter: Guesser,
    prompts: Sequence[Sequence[int]],
    texts: Sequence[Sequence[int]],
    sampling: Sampling,
    advance: Callable[[int], None] | None = None,
) -> Heard:
    """At every place of the texts from which a draft may start: behind their first token."""
    parts = []
    for first in range(0, max(len(prompts), len(texts)), ROWS):
        some = slice(first, first + ROWS)
        padded = Padded.of(prompts[some], texts[some], target.device)
        tokens_BT, prompt_B = padded.tokens_BT, padded.prompt_B
        output = target.forward(tokens_BT[:, :-1], taps=drafter.needs.taps, prompt_B=prompt_B)
        place_S = torch.arange(tokens_BT.shape[1] - 1, device=target.device)
        chosen_BS = (place_S >= prompt_B[:, None]) & (place_S < padded.length_B[:, None] - 1)
        guess = drafter.guesses(
            TrainingBatch(
                tokens_BT, chosen_BS, output.hidden_BPD, output.taps_BPC, 1, None, prompt_B
            )
        )
        hidden_nD, token_n = output.hidden_BPD[chosen_BS], guess.token_BS[chosen_BS]
        parts.append((guess.score_BS[chosen_BS], *_probs(target, hidden_nD, token_n, sampling)))
        if advance:
            advance(len(tokens_BT))
    columns = (torch.cat(column).double().cpu().numpy() for column in zip(*parts, strict=True))
    return Heard(*columns)


def _probs(
    target: Target, hidden_nD: Tensor, token_n: Tensor, sampling: Sampling
) -> tuple[Tensor, Tensor]:
    """What the target gives to these tokens: as it writes, and at temperature 1."""
    told = []
    for some_nD, some_n in zip(hidden_nD.split(CHUNK), token_n.split(CHUNK), strict=True):
        logits_nV = target.unembed(some_nD).float()
        both = (sampling.probs(logits_nV), logits_nV.softmax(-1))
        told.append(torch.stack([probs.gather(1, some_n[:, None])[:, 0] for probs in both]))
    agreed_n, sure_n = torch.cat(told, 1)
    return agreed_n, sure_n


def calibrated(heard: Heard) -> tuple[float, float]:
    """Scale and shift that make a sigmoid of the score the probability of agreeing: logistic
    regression (Platt, 1999) by Newton's method, held back a little where there is little to tell
    them by."""
    design_n2 = np.stack([heard.score_n, np.ones_like(heard.score_n)], 1)
    weights_2, held_22 = np.array([1.0, 0.0]), 1e-3 * np.eye(2)
    for _ in range(50):
        probs_n = _sigmoid(design_n2 @ weights_2)
        slope_2 = design_n2.T @ (probs_n - heard.agreed_n) + held_22 @ (weights_2 - [1.0, 0.0])
        bent_22 = (design_n2 * (probs_n * (1 - probs_n))[:, None]).T @ design_n2 + held_22
        step_2 = np.linalg.solve(bent_22, slope_2)
        weights_2 = weights_2 - step_2 / max(1.0, float(np.abs(step_2).max()))
        if np.abs(step_2).max() < 1e-9:
            break
    return float(weights_2[0]), float(weights_2[1])


def _sigmoid(x_n: Floats) -> Floats:
    probs_n: Floats = 1 / (1 + np.exp(-np.clip(x_n, -60, 60)))
    return probs_n


def probs(heard: Heard, scale: float, shift: float) -> Floats:
    return _sigmoid(scale * heard.score_n + shift)


def threshold(prob_n: Floats, agreed_n: Floats, wanted: float) -> float | None:
    """The least probability from which on at least a share `wanted` agrees; None if that holds of
    no threshold that FEWEST positions reach."""
    order_n, last_t = ranking(prob_n)
    rate_t = agreed_n[order_n].cumsum()[last_t] / (last_t + 1)
    good_t = np.flatnonzero((rate_t >= wanted) & (last_t + 1 >= FEWEST))
    return float(prob_n[order_n[last_t[good_t[-1]]]]) if len(good_t) else None


def calibration_error(prob_n: Floats, agreed_n: Floats) -> float:
    """Expected calibration error over BINS of equally many positions, fewer where they would hold
    less than FEWEST (Guo et al., arXiv 1706.04599, whose bins are equally wide)."""
    if not len(prob_n):
        return 0.0
    bins = np.array_split(np.argsort(prob_n, kind="stable"), _bins(len(prob_n)))
    return float(sum(abs((prob_n[some] - agreed_n[some]).sum()) for some in bins) / len(prob_n))


def _bins(positions: int) -> int:
    return min(BINS, max(positions // FEWEST, 1))


def figures(heard: Heard, scale: float, shift: float) -> dict[str, Any]:
    """Of positions, all of them: how often the likeliest token agrees, how well the score ranks
    them (average precision beside the share that guessing reaches), and how wrong probabilities
    are."""
    prob_n = probs(heard, scale, shift)
    return {
        "positions": len(prob_n),
        "agreement": float(heard.agreed_n.mean()),
        "calibration_error": calibration_error(prob_n, heard.agreed_n),
        "events": {
            name: {"share": float(event_n.mean()), "area": curve(prob_n, event_n)[0]}
            for name, event_n in events(heard).items()
        },
    }


def above(heard: Heard, scale: float, shift: float, least: float) -> dict[str, Any]:
    """Of the positions that reach a threshold: their share, agreement and calibration error."""
    prob_n = probs(heard, scale, shift)
    through_n = prob_n >= least
    count = int(through_n.sum())
    return {
        "positions": count,
        "share": count / len(prob_n),
        "agreement": float(heard.agreed_n[through_n].mean()) if count else None,
        "calibration_error": calibration_error(prob_n[through_n], heard.agreed_n[through_n]),
    }


def curves(heard: Heard, scale: float, shift: float, points: int = 60) -> dict[str, Any]:
    """To be plotted: precision and recall of `agrees` and of each of CERTAIN, and how right each of
    BINS is."""
    prob_n = probs(heard, scale, shift)
    order_n = np.argsort(-prob_n, kind="stable")
    some_t = np.unique(np.linspace(0, len(order_n) - 1, points).astype(int))
    bins = np.array_split(order_n[::-1], _bins(len(order_n)))
    return {
        "ranked": {
            name: _ranked(event_n[order_n], some_t) for name, event_n in events(heard).items()
        },
        "bins": [[float(x_n[some].mean()) for x_n in (prob_n, heard.agreed_n)] for some in bins],
    }


def _ranked(hits_n: NDArray[np.bool_], some_t: NDArray[np.int64]) -> list[list[float]]:
    """Recall and precision at some places of a ranking."""
    found_n = hits_n.cumsum()
    recall_t = found_n[some_t] / max(int(hits_n.sum()), 1)
    points: list[list[float]] = np.stack([recall_t, found_n[some_t] / (some_t + 1)], 1).tolist()
    return points


def events(heard: Heard) -> dict[str, NDArray[np.bool_]]:
    """What the score ranks: that the target goes on so, and that it is certain of it."""
    return {
        "agrees": heard.agreed_n >= 0.5,
        **{f"{least:g}": heard.sure_n >= least for least in CERTAIN},
    }
