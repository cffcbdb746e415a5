"""Byte-pair merges ordered by score, as in SentencePiece's BPE and llama2.c's run.c."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence


def merge_pairs(letters: Sequence[str], scores: Mapping[str, float]) -> list[str]:
    """Merge the neighbours whose join has the highest score (the leftmost of equals) until no join
    has a score. A heap of joins over a linked list: n log n steps for n letters."""
    pieces, end = list(letters), len(letters)
    after, before = list(range(1, end + 1)), list(range(-1, end - 1))
    heap: list[tuple[float, int, str]] = []

    def offer(left: int) -> None:
        if left >= 0 and after[left] < end:
            join = pieces[left] + pieces[after[left]]
            if (score := scores.get(join)) is not None:
                heapq.heappush(heap, (-score, left, join))

    for left in range(end - 1):
        offer(left)
    while heap:
        _, left, join = heapq.heappop(heap)
        right = after[left]
        # One of the two may have been merged with another piece since.
        if not pieces[left] or right == end or pieces[left] + pieces[right] != join:
            continue
        pieces[left], pieces[right] = join, ""
        after[left] = after[right]
        if after[left] < end:
            before[after[left]] = left
        offer(left)
        offer(before[left])
    return [piece for piece in pieces if piece]
