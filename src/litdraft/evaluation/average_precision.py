"""Ranking positions by a score: average precision and recall at given precisions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

PRECISIONS = (0.9, 0.99)

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Curve(NamedTuple):
    """The area under precision and recall (average precision; guessing reaches the share of
    positives), the largest recall at each of PRECISIONS, and the smallest score that the last of
    these needs (infinite if it is never reached)."""

    average_precision: float
    recalls: list[float]
    threshold: float


def ranking(score_n: Floats) -> tuple[Ints, Ints]:
    """order_n: positions by score, the highest first; last_t: the last rank of each run of equal
    scores."""
    order_n = np.argsort(-score_n, kind="stable")
    last_t = np.append(np.flatnonzero(np.diff(score_n[order_n])), len(score_n) - 1)
    return order_n, last_t


def curve(score_n: Floats, positive_n: Bools) -> Curve:
    """Of a score that should be high where positive_n; equal scores are found together."""
    order_n, last_t = ranking(score_n)
    hits_t = positive_n[order_n].cumsum()[last_t]
    precision_t = hits_t / (last_t + 1)
    recall_t = hits_t / max(int(positive_n.sum()), 1)
    area = float((np.diff(recall_t, prepend=0.0) * precision_t).sum())
    recalls, threshold = [], float("inf")
    for precision in PRECISIONS:
        good_t = np.flatnonzero((precision_t >= precision) & (hits_t > 0))
        recalls.append(float(recall_t[good_t[-1]]) if len(good_t) else 0.0)
        threshold = float(score_n[order_n[last_t[good_t[-1]]]]) if len(good_t) else float("inf")
    return Curve(area, recalls, threshold)
