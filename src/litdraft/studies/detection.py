"""How well the last few tokens alone predict that a target is certain.

The simplest detector there is: how often the target was certain after the same n tokens, in texts
that are not those it is judged on. Counts of n tokens are smoothed by those of n - 1,

    score(h) = (certain(h) + score(h')) / (seen(h) + 1)

where h' is h without its oldest token, down to the share of all positions. It learns from a few
thousand tokens only, so its figures are a lower bound of what a detector can reach.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from litdraft.evaluation.average_precision import Bools, Floats, Ints, curve
from litdraft.studies.certainty import BOUNDS, PositionStats
from litdraft.studies.skipping import pass_counts

ORDERS = (1, 2, 3, 4)
NONE = -1  # the token before the first one of a text


class Detected(NamedTuple):
    """A detector that sees `order` tokens: the texts and positions it was judged on, how many of
    these are certain, its average precision (guessing reaches the share of certain positions), the
    share of certain positions found at each of PRECISIONS, and how many passes read 1, 2, ...
    tokens if what is found at the last of these is skipped."""

    order: int
    texts: int
    positions: int
    certain: int
    average_precision: float
    recall: list[float]
    passes: list[int]


def detect(stats: Sequence[PositionStats], bound: float, seed: int = 0) -> list[Detected]:
    """Fitted on half of the texts, drawn by the seed, and judged on the others; one entry for each
    of ORDERS, none where there is nothing to fit or to judge."""
    order = np.random.default_rng(seed).permutation(len(stats))
    fit, judged = ([stats[i] for i in sorted(half)] for half in np.array_split(order, 2))
    if not judged:
        return []
    column = BOUNDS.index(bound)
    fit_n, judged_n = (
        torch.cat([text.certain_nN()[:, column] for text in half]).numpy() for half in (fit, judged)
    )
    ends = np.cumsum([len(text.position_n) for text in judged])[:-1]
    detected = []
    for n, score_n in zip(ORDERS, _scores(fit, judged, fit_n), strict=True):
        area, recall, threshold = curve(score_n, judged_n)
        skipped = pass_counts(map(np.ndarray.tolist, np.split(score_n >= threshold, ends)))
        detected.append(
            Detected(n, len(judged), len(score_n), int(judged_n.sum()), area, recall, skipped)
        )
    return detected


def _scores(
    fit: Sequence[PositionStats], judged: Sequence[PositionStats], certain_f: Bools
) -> Iterator[Floats]:
    """For each of ORDERS the score of every judged position."""
    history_nM = np.concatenate([_history(text) for text in (*fit, *judged)])
    name_n = np.zeros(len(history_nM), np.int64)  # numbers the histories seen so far
    score_n = np.full(len(history_nM), (certain_f.sum() + 1) / (len(certain_f) + 2))
    for token_n in history_nM.T:
        key_n = name_n * (history_nM.max() + 2) + token_n - NONE
        name_n = np.unique(key_n, return_inverse=True)[1]
        fitted_n, count = name_n[: len(certain_f)], int(name_n.max()) + 1
        certain_n = np.bincount(fitted_n, certain_f, count)[name_n]
        score_n = (certain_n + score_n) / (np.bincount(fitted_n, minlength=count)[name_n] + 1)
        yield score_n[len(certain_f) :]


def _history(text: PositionStats) -> Ints:
    """history_nM: the last tokens at each position, the latest first."""
    index_nM = text.position_n.numpy()[:, None] - np.arange(ORDERS[-1])
    return np.where(index_nM >= 0, text.tokens_T.numpy()[index_nM.clip(0)], NONE)
