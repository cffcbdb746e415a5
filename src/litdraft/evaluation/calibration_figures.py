"""How good a calibrated confidence is: figures and curves for reports."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from litdraft.evaluation.average_precision import Bools, Floats, curve
from litdraft.evaluation.calibration import FEWEST, Fit, ScoredPositions, probabilities
from litdraft.reports.lossy_schema import Curves, Threshold
from litdraft.reports.schema import Calibration, Ranking

CERTAIN = (0.9, 0.99)  # probabilities that the target itself gives to a token
BINS = 10


def calibration_error(prob_n: Floats, agreed_n: Floats) -> float:
    """Expected calibration error over BINS of equally many positions, fewer bins if they would hold
    less than FEWEST (Guo et al., arXiv 1706.04599, whose bins are equally wide)."""
    if not len(prob_n):
        return 0.0
    bins = np.array_split(np.argsort(prob_n, kind="stable"), _bins(len(prob_n)))
    return float(sum(abs((prob_n[some] - agreed_n[some]).sum()) for some in bins) / len(prob_n))


def _bins(positions: int) -> int:
    return min(BINS, max(positions // FEWEST, 1))


def figures(scored: ScoredPositions, fit: Fit) -> Calibration:
    """Over all positions."""
    prob_n = probabilities(scored, fit.scale, fit.shift)
    return Calibration(
        positions=len(prob_n),
        agreement=float(scored.agreed_n.mean()),
        calibration_error=calibration_error(prob_n, scored.agreed_n),
        events={
            name: Ranking(float(event_n.mean()), curve(prob_n, event_n).average_precision)
            for name, event_n in events(scored).items()
        },
    )


def above(scored: ScoredPositions, fit: Fit, threshold: float) -> Threshold:
    """Over the positions that reach a threshold."""
    prob_n = probabilities(scored, fit.scale, fit.shift)
    passing_n = prob_n >= threshold
    count = int(passing_n.sum())
    return Threshold(
        threshold=threshold,
        positions=count,
        share=count / len(prob_n),
        agreement=float(scored.agreed_n[passing_n].mean()) if count else None,
        calibration_error=calibration_error(prob_n[passing_n], scored.agreed_n[passing_n]),
    )


def curves(scored: ScoredPositions, fit: Fit, points: int = 60) -> Curves:
    """For plots: precision and recall of every event, and how right each of BINS is."""
    prob_n = probabilities(scored, fit.scale, fit.shift)
    order_n = np.argsort(-prob_n, kind="stable")
    some_t = np.unique(np.linspace(0, len(order_n) - 1, points).astype(int))
    bins = np.array_split(order_n[::-1], _bins(len(order_n)))
    return Curves(
        ranked={
            name: _recall_precision(event_n[order_n], some_t)
            for name, event_n in events(scored).items()
        },
        bins=[[float(x_n[some].mean()) for x_n in (prob_n, scored.agreed_n)] for some in bins],
    )


def _recall_precision(hits_n: Bools, some_t: NDArray[np.int64]) -> list[list[float]]:
    """[recall, precision] at some ranks."""
    found_n = hits_n.cumsum()
    recall_t = found_n[some_t] / max(int(hits_n.sum()), 1)
    points: list[list[float]] = np.stack([recall_t, found_n[some_t] / (some_t + 1)], 1).tolist()
    return points


def events(scored: ScoredPositions) -> dict[str, Bools]:
    """What the score should rank high: the target agrees, and it is certain of the token."""
    return {
        "agrees": scored.agreed_n >= 0.5,
        **{f"{least:g}": scored.target_prob_n >= least for least in CERTAIN},
    }
