"""How many tokens to draft: the k with the most expected tokens per second, from measured costs.

The expected tokens of a round come from replay, its seconds from rounds that were really run,
including drafting, verification and everything between: speed(k) = tokens(k) / seconds(k), the
general form of Leviathan et al. (arXiv 2211.17192, theorem 3.8) without its assumptions of equal
acceptance and equal costs.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence

from litdraft.acceptance.replay import replay_texts
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.limits import LONGEST_DRAFT
from litdraft.protocols import Drafter, Target, longest_draft
from litdraft.reports.schema import DraftLength
from litdraft.sampling import Sampling

TURNS = 5  # times that every length is timed, in turn, so that a slow moment affects all of them


def draft_lengths(
    target: Target,
    drafter: Drafter,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    sampling: Sampling,
    *,
    batch: int = 1,
    longest: int = LONGEST_DRAFT,
    advance: Callable[[], None] | None = None,
) -> list[DraftLength]:
    """Every k from 1 to `longest`, measured on other prompts than those of the report.

    Seconds are the median over some turns at the given batch. A k is left out if it does not fit
    the target's context, or if no text is long enough for one of its rounds.
    """
    capacity = target.spec.context - max(map(len, prompts)) - max_new_tokens - 1
    longest = min(longest, capacity, longest_draft(drafter) or longest)
    plain = Autoregress(target, sampling)
    batches = [prompts[i : i + batch] for i in range(0, len(prompts), batch)]
    texts = [text for some in batches for text in plain.generate(some, max_new_tokens).tokens]
    loops = {k: Speculate(target, drafter, k, sampling) for k in range(1, longest + 1)}
    seconds: dict[int, list[float]] = {k: [] for k in loops}
    for turn in range(TURNS + 1):
        some = batches[turn % len(batches)]
        for k, loop in loops.items():
            result = loop.generate(some, max_new_tokens)
            rounds = max(len(row) for row in result.accepted)
            if turn > 0 and rounds > 0:  # the first one warms up
                seconds[k].append(result.decode_seconds / rounds)
        if advance:
            advance()
    found = []
    for k in loops:
        replayed = replay_texts(target, drafter, prompts, texts, k, sampling)
        length = replayed.mean_acceptance_length
        if not seconds[k] or not math.isfinite(length):
            continue
        cost = statistics.median(seconds[k])
        found.append(DraftLength(k, length, cost, batch * length / cost))
    return found


def fastest(lengths: Sequence[DraftLength]) -> DraftLength:
    """The one with the most tokens per second."""
    return max(lengths, key=lambda length: length.tokens_per_second)
