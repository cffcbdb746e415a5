"""What it would save to write certain tokens without running the target.

A skipped token is written at no cost, which is the best case, and enters the cache with the next
token that the target has to read. So some passes read several tokens, and the costs of such passes
are measured.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Sequence

import torch

from litdraft.protocols import Target

LONGEST = 16  # tokens of one pass: then a pass follows, however certain the next token is
TURNS = 40  # times that every size is timed, in turn, so that a slow moment affects all of them


def passes(certain: Iterable[bool]) -> list[int]:
    """How many tokens each pass reads while a text is written whose positions are certain or not.

    The first position is predicted by the prompt's own pass, which is not counted, and tokens that
    are unread at the end need no pass.
    """
    sizes, unread = [], 1
    for sure in list(certain)[1:]:
        if sure and unread < LONGEST:
            unread += 1
        else:
            sizes.append(unread)
            unread = 1
    return sizes


def pass_counts(texts: Iterable[Iterable[bool]]) -> list[int]:
    """How many passes read 1, 2, ... LONGEST tokens, over several texts."""
    sizes = [size for certain in texts for size in passes(certain)]
    return [sizes.count(size) for size in range(1, LONGEST + 1)]


def speedup(counts: Sequence[int], tokens: int, seconds: Sequence[float]) -> float | None:
    """Time of `tokens` passes over one token each, over that of `counts` passes; None where no pass
    is left."""
    cost = sum(count * each for count, each in zip(counts, seconds, strict=True))
    return tokens * seconds[0] / cost if cost else None


@torch.inference_mode()
def pass_seconds(
    target: Target, prompt: Sequence[int], after: int, advance: Callable[[], None] | None = None
) -> list[float]:
    """Median seconds of passes over 1 to LONGEST tokens, each up to the next token: one row, as in
    decoding, eagerly, `after` tokens after a prompt. Which tokens these are does not matter: they
    repeat the prompt's last one. UserError if all this does not fit the target's context."""
    device = target.device
    cache = target.allocate(1, len(prompt) + after + LONGEST)
    prompt_BP, length_B = torch.tensor([prompt]).to(device), torch.tensor([len(prompt)]).to(device)
    target.forward(prompt_BP, cache, prompt_B=length_B)
    cache.keep(length_B)
    tokens_BP = prompt_BP[:, -1:].expand(1, max(after, LONGEST)).contiguous()
    if after:
        target.forward(tokens_BP[:, :after], cache)
        cache.keep(torch.full_like(length_B, after))
    seconds: list[list[float]] = [[] for _ in range(LONGEST)]
    for turn in range(TURNS + 1):
        for size in range(1, LONGEST + 1):
            started = _now(device)
            hidden_BPD = target.forward(tokens_BP[:, :size], cache).hidden_BPD
            target.argmax(hidden_BPD[:, -1])
            if turn > 0:  # the first one warms up
                seconds[size - 1].append(_now(device) - started)
        if advance:
            advance()
    return [statistics.median(some) for some in seconds]


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
