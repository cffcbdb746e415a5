"""How well the last few tokens alone say that a target is certain.

The simplest detector there is: how often the target was certain behind the same n tokens, in texts
that are not those it is judged on. Counts of n tokens are smoothed by those of n - 1,

    score(h) = (certain(h) + score(h')) / (seen(h) + 1)

where h' is h without its oldest token, down to the share of all positions. It learns from a few
thousand tokens only, so what it finds is the least that can be found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from litdraft.studies.certainty import BOUNDS, PositionStats
from litdraft.studies.skipping import counted

ORDERS = (1, 2, 3, 4)
PRECISIONS = (0.9, 0.99)
NONE = -1  # the token before a text's beginning

Bools = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Found(NamedTuple):
    """A detector that sees `order` tokens: the texts and positions it was judged on, how many of
    these are certain, the area under its precision-recall curve (the average precision; a guess's
    is the share of certain ones), the share of certain positions that it finds while each of
    PRECISIONS of what it finds are certain, and how many passes read 1, 2, ... tokens where what is
    found at the last of these is skipped."""

    order: int
    texts: int
    positions: int
    certain: int
    area: float
    recall: list[float]
    passes: list[int]


def detection(position_stats: Sequence[PositionStats], bound: float, seed: int = 0) -> list[Found]:
    """Fitted on half of the texts, drawn by the seed, and judged on the others; one entry for each
    of ORDERS, none where there is nothing to fit or to judge."""
    order = np.random.default_rng(seed).permutation(len(position_stats))
    fit, judged = ([position_stats[i] for i in sorted(half)] for half in np.array_split(order, 2))
    if not judged:
        return []
    column = BOUNDS.index(bound)
    sure = [torch.cat([w.sure_nN()[:, column] for w in half]).numpy() for half in (fit, judged)]
    found = []
    for n, score_n in zip(ORDERS, _scores(fit, judged, sure[0]), strict=True):
        area, recall, least = curve(score_n, sure[1])
        ends = np.cumsum([len(walk.place_n) for walk in judged])[:-1]
        skipped = counted(map(np.ndarray.tolist, np.split(score_n >= least, ends)))
        found.append(Found(n, len(judged), len(score_n), int(sure[1].sum()), area, recall, skipped))
    return found


def _scores(
    fit: Sequence[PositionStats], judged: Sequence[PositionStats], sure_f: Bools
) -> Iterator[Floats]:
    """For each of ORDERS the score of every judged position."""
    history_nM = np.concatenate([_history(walk) for walk in (*fit, *judged)])
    name_n = np.zeros(len(history_nM), np.int64)  # of the history, so far as it was looked at
    score_n = np.full(len(history_nM), (sure_f.sum() + 1) / (len(sure_f) + 2))
    for token_n in history_nM.T:
        key_n = name_n * (history_nM.max() + 2) + token_n - NONE
        name_n = np.unique(key_n, return_inverse=True)[1]
        fitted_n, count = name_n[: len(sure_f)], int(name_n.max()) + 1
        certain_n = np.bincount(fitted_n, sure_f, count)[name_n]
        score_n = (certain_n + score_n) / (np.bincount(fitted_n, minlength=count)[name_n] + 1)
        yield score_n[len(sure_f) :]


def _history(walk: PositionStats) -> Ints:
    """history_nM: the last tokens before each position, the latest first."""
    place_nM = walk.place_n.numpy()[:, None] - np.arange(ORDERS[-1])
    return np.where(place_nM >= 0, walk.tokens_T.numpy()[place_nM.clip(0)], NONE)


def ranking(score_n: Floats) -> tuple[Ints, Ints]:
    """Positions by score, the highest first, and the last place of each run of equal scores."""
    order_n = np.argsort(-score_n, kind="stable")
    last_t = np.append(np.flatnonzero(np.diff(score_n[order_n])), len(score_n) - 1)
    return order_n, last_t


def curve(score_n: Floats, sure_n: Bools) -> tuple[float, list[float], float]:
    """Average precision; the largest recall at each of PRECISIONS; and the least score that is
    needed for the last of those. Equal scores are found together."""
    order_n, last_t = ranking(score_n)
    hits_t = sure_n[order_n].cumsum()[last_t]
    precision_t = hits_t / (last_t + 1)
    recall_t = hits_t / max(int(sure_n.sum()), 1)
    area = float((np.diff(recall_t, prepend=0.0) * precision_t).sum())
    recalls, least = [], float("inf")
    for precision in PRECISIONS:
        good_t = np.flatnonzero((precision_t >= precision) & (hits_t > 0))
        recalls.append(float(recall_t[good_t[-1]]) if len(good_t) else 0.0)
        least = float(score_n[order_n[last_t[good_t[-1]]]]) if len(good_t) else float("inf")
    return area, recalls, least
