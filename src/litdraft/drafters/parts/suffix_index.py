"""Texts on the host, and where in them what was followed by what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

SIZES = (4, 2, 1)  # of the n-grams that an index leads behind
LATEST = 64  # places looked at behind an n-gram that stands more often


class Texts:
    """Tokens by their place, and the places behind every n-gram of some sizes."""

    def __init__(self) -> None:
        self.tokens: dict[int, int] = {}
        self.behind: dict[tuple[int, ...], list[int]] = {}
        self.end = 0
        self._before: list[int] = []  # the last tokens of the text that is growing

    def append(self, tokens: Iterable[int]) -> None:
        """Go on with the text that is growing."""
        for token in tokens:
            for size in SIZES:
                if size <= len(self._before):
                    self.behind.setdefault(tuple(self._before[-size:]), []).append(self.end)
            self._before = [*self._before[1 - SIZES[0] :], token]
            self.tokens[self.end] = token
            self.end += 1

    def close(self) -> None:
        """End the text that is growing: the next one does not run into it."""
        self._before = []
        self.end += 1

    def remove(self, places: range) -> None:
        """One whole text."""
        tokens = [self.tokens.pop(place) for place in places]
        for at, place in enumerate(places):
            for size in SIZES:
                if size <= at:
                    key = tuple(tokens[at - size : at])
                    self.behind[key].remove(place)
                    if not self.behind[key]:
                        del self.behind[key]

    def last(self, count: int) -> list[int]:
        """The last tokens, of the only text."""
        return [self.tokens[place] for place in range(max(self.end - count, 0), self.end)]

    def found(self, suffix: list[int]) -> tuple[int, list[int]]:
        """How many of the last tokens stand here with something behind them, and the places of what
        does, the latest first."""
        for size in (size for size in SIZES if size <= len(suffix)):
            places = self.behind.get(tuple(suffix[-size:]), [])[: -LATEST - 1 : -1]
            if places:
                break
        else:
            return 0, []
        while size < len(suffix):
            wanted = suffix[-1 - size]
            longer = [place for place in places if self.tokens.get(place - 1 - size) == wanted]
            if not longer:
                break
            size, places = size + 1, longer
        return size, places

    def followed(self, places: list[int], k: int, least: float) -> list[int]:
        """Up to k tokens on the most frequent path from these places, of several the latest. Ends
        where the share of places that went that way falls below `least`."""
        path: list[int] = []
        chance = 1.0
        while len(path) < k:
            tokens = [self._at(place + len(path), path) for place in places]
            counts = Counter(token for token in tokens if token is not None)
            if not counts:
                break
            token, count = counts.most_common(1)[0]
            chance *= count / len(places)
            if chance < least:
                break
            places = [place for place, other in zip(places, tokens, strict=True) if other == token]
            path.append(token)
        return path

    def _at(self, place: int, path: list[int]) -> int | None:
        """Behind the end stands the path itself: what repeats goes on repeating."""
        return self.tokens.get(place) if place < self.end else path[place - self.end]


class Memory(Texts):
    """The outputs of the latest `keep` rows, by their numbers."""

    def __init__(self, keep: int) -> None:
        super().__init__()
        self.keep = keep
        self.places: dict[int, range] = {}

    def remember(self, row: int, output: Iterable[int]) -> None:
        """In place of what this row put out before."""
        self.drop(row)
        start = self.end
        self.append(output)
        self.places[row] = range(start, self.end)
        self.close()
        if len(self.places) > self.keep:
            self.drop(next(iter(self.places)))

    def drop(self, row: int) -> None:
        self.remove(self.places.pop(row, range(0)))
