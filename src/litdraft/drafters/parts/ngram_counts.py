"""The n-grams of a text, counted: a trie by levels, in sorted arrays.

Level n holds every n-gram once, in the order of its first n - 1 tokens and then of its last, so
that what follows a history stands together. One sort a level is all the work there is.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

GUESSED = (0.0, 0.5, 1.0, 1.5)  # discounts where a text is too small to estimate them


@dataclass(frozen=True)
class Level:
    """The E n-grams of one length n, and what is known of the P histories they begin with.

    history_E are the places of their first n - 1 tokens in the level below, token_E their last
    tokens. seen_E is how often each stands in the text. weight_E is what it counts with: the
    longest n-grams as often as they were seen, shorter ones by the number of different tokens that
    they stood behind, where every text's beginning is another (Kneser and Ney, 1995). total_P sums
    the weights behind each history. discount_4 is what a weight of 0, 1, 2, 3 and more gives away.
    """

    history_E: Ints
    token_E: Ints
    seen_E: Ints
    weight_E: Ints
    total_P: Ints
    discount_4: Floats

    def given_E(self) -> Floats:
        """What each gives away."""
        given_E: Floats = self.discount_4[self.weight_E.clip(0, 3)]
        return given_E

    def followers_P(self) -> Ints:
        """How many of them begin with each history."""
        return np.bincount(self.history_E, minlength=len(self.total_P))

    def chosen(self, some_E: NDArray[np.bool_]) -> Level:
        """Some of them. The weights of the others stay in the totals."""
        if some_E.all():
            return self
        return replace(
            self,
            history_E=self.history_E[some_E],
            token_E=self.token_E[some_E],
            seen_E=self.seen_E[some_E],
            weight_E=self.weight_E[some_E],
        )

    def most_frequent(self, count: int) -> Level:
        """At most `count` behind each history, those of the largest weights."""
        followers_P = self.followers_P()
        place_n = np.flatnonzero((followers_P > count)[self.history_E])
        weight_n, many_p = self.weight_E[place_n], followers_P[followers_P > count]
        most = weight_n.max(initial=0)
        key_n = self.history_E[place_n] * (most + 1) + most - weight_n
        _, place_n = _sorted(key_n, place_n)
        rank_n = np.arange(len(place_n)) - np.repeat(many_p.cumsum() - many_p, many_p)
        kept_E = np.ones(len(self.token_E), bool)
        kept_E[place_n[rank_n >= count]] = False
        return self.chosen(kept_E)


def counted(texts: Sequence[Ints], vocabulary: int, order: int) -> Iterator[Level]:
    """Levels 1 to `order`, the first with all tokens of the vocabulary. No n-gram crosses from one
    text to the next. Takes about 100 bytes a token."""
    token_T = np.concatenate(texts)
    length = np.array([len(text) for text in texts])
    age_T = np.arange(len(token_T)) - np.repeat(length.cumsum() - length, length)
    seen_E = np.bincount(token_T, minlength=vocabulary)
    history_E, last_E, histories = np.zeros(vocabulary, np.int64), np.arange(vocabulary), 1
    node_T = token_T  # where, in its level, the n-gram stands that ends at each place
    for n in range(2, order + 1):
        place_n = np.flatnonzero(age_T >= n - 1)
        key_n = node_T[place_n - 1] * vocabulary + token_T[place_n]
        key_n, place_n = _sorted(key_n, place_n)
        new_n = np.diff(key_n, prepend=-1) != 0
        first_E = np.flatnonzero(new_n)
        # All but the first token of an n-gram stands behind one more token.
        behind_n = np.concatenate((node_T[place_n[first_E]], node_T[age_T == n - 2]))
        weight_E = np.bincount(behind_n, minlength=len(seen_E))
        yield _level(history_E, last_E, seen_E, weight_E, histories)
        node_T = np.empty_like(node_T)
        node_T[place_n] = new_n.cumsum() - 1
        histories = len(seen_E)
        history_E, last_E = np.divmod(key_n[first_E], vocabulary)
        seen_E = np.diff(first_E, append=len(key_n))
    yield _level(history_E, last_E, seen_E, seen_E, histories)


def pruned(levels: Iterable[Level], least: int) -> Iterator[Level]:
    """Without what has three tokens or more and was seen less than `least` times."""
    place_P, kept_P = np.zeros(1, np.int64), np.ones(1, bool)
    for n, level in enumerate(levels, start=1):
        kept_E = level.seen_E >= (least if n > 2 else 0)
        some = level.chosen(kept_E)
        yield replace(some, history_E=place_P[some.history_E], total_P=level.total_P[kept_P])
        place_P, kept_P = kept_E.cumsum() - 1, kept_E


def _level(history_E: Ints, token_E: Ints, seen_E: Ints, weight_E: Ints, histories: int) -> Level:
    total_P = np.bincount(history_E, weight_E, histories).astype(np.int64)
    return Level(history_E, token_E, seen_E, weight_E, total_P, _discounts(weight_E))


def _discounts(weight_E: Ints) -> Floats:
    """Chen and Goodman (1999), equation 26: from how many weights are 1, 2, 3 and 4."""
    one, two, three, four = np.bincount(weight_E.clip(0, 5), minlength=6)[1:5].tolist()
    if not (one and two and three):
        return np.array(GUESSED)
    share = one / (one + 2 * two)
    found = (1 - 2 * share * two / one, 2 - 3 * share * three / two, 3 - 4 * share * four / three)
    sound = all(0 < discount <= c for c, discount in enumerate(found, start=1))
    return np.array((0.0, *found) if sound else GUESSED)


def _sorted(key_n: Ints, place_n: Ints) -> tuple[Ints, Ints]:
    """Both in the order of the keys, then of the places, which ascend already. Where they fit into
    one number, sorting numbers takes a quarter of the time."""
    bits = int(place_n.max(initial=0)).bit_length()
    if int(key_n.max(initial=0)) >> (63 - bits):
        order_n = key_n.argsort(kind="stable")
        return key_n[order_n], place_n[order_n]
    both_n = key_n << bits | place_n
    both_n.sort()
    return both_n >> bits, both_n & ((1 << bits) - 1)
