"""Both decoders do the same work, in turns, and nothing is timed before it is warm."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.fakes import random_target

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.result import Generation
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.evaluation.benchmark import measure, speedup, tokens_per_second, total
from litdraft.reports.schema import Timing
from litdraft.sampling import Sampling

PROMPTS = [[1, 5, 6], [1, 9], [1, 4, 4, 4], [1, 7], [1, 8, 3]]


class Clock:
    """A decoder that needs a given time for a token, and ten times that while it is cold."""

    def __init__(self, name: str, pace: float, log: list[tuple[str, tuple[int, ...], int]]) -> None:
        self.name, self.pace, self.log = name, pace, log
        self.warm: set[tuple[int, int]] = set()

    def reset(self) -> None:
        """It never learns."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        rows: Sequence[int] | None = None,
    ) -> Generation:
        assert rows is not None
        self.log.append((self.name, tuple(rows), max_new_tokens))
        shape = (len(prompts), max_new_tokens)
        pace = self.pace if shape in self.warm else 10 * self.pace
        self.warm.add(shape)
        texts = [[row] * max_new_tokens for row in rows]
        seconds = pace * len(prompts) * (max_new_tokens - 1)
        ones = [[1] for _ in rows]
        return Generation(texts, texts, ones, ones, prefill_seconds=1.0, decode_seconds=seconds)


def test_turns_are_taken_and_every_shape_is_warm() -> None:
    """Five prompts by two: the last batch is a shape of its own. A compiled target compiles anew
    for every shape, the length included, which once was timed with the first batch."""
    log: list[tuple[str, tuple[int, ...], int]] = []
    plain, drafted = Clock("plain", 2.0, log), Clock("drafted", 1.0, log)
    found = measure(plain, drafted, PROMPTS, [3, 4, 5, 6, 7], batch=2, max_new_tokens=40)
    assert speedup(found.timings()) == pytest.approx((2.0, 2.0, 2.0))
    assert tokens_per_second(found.timings()) == pytest.approx((0.5, 1.0))
    timed = [(name, rows) for name, rows, _ in log[-6:]]
    assert timed == [
        ("plain", (3, 4)), ("drafted", (3, 4)), ("drafted", (5, 6)), ("plain", (5, 6)),
        ("plain", (7,)), ("drafted", (7,)),
    ]  # fmt: skip
    assert len(log) == 6 + 4
    assert [row[0] for row in found.drafted.tokens] == [3, 4, 5, 6, 7]


def test_repeats_are_a_mean_and_add_no_text() -> None:
    log: list[tuple[str, tuple[int, ...], int]] = []
    plain, drafted = Clock("plain", 2.0, log), Clock("drafted", 1.0, log)
    found = measure(
        plain, drafted, PROMPTS, range(5), batch=2, max_new_tokens=11, repeats=3
    ).timings()
    assert found == [
        Timing(1, 40, 20, 1, 20, 20), Timing(1, 40, 20, 1, 20, 20), Timing(1, 20, 10, 1, 10, 10),
    ]  # fmt: skip
    with_prefill = speedup(found, with_prefill=True).value
    assert with_prefill == pytest.approx(103 / 53)


def test_real_decoders_write_the_same_greedy_text_and_counts_hold_it_all() -> None:
    """Accepted drafts, one token more a round and the prefill's are all that was emitted, but
    for what the last rounds verified beyond the limit."""
    target, greedy = random_target(), Sampling()
    plain = Autoregress(target, greedy)
    drafted = Speculate(target, Lookup(), 3, greedy)
    advanced = []
    found = measure(
        plain, drafted, PROMPTS, range(5), batch=2, max_new_tokens=20,
        advance=lambda: advanced.append(1),
    )  # fmt: skip
    assert found.drafted.tokens == found.baseline.tokens
    assert len(advanced) == len(found.timings()) == 3
    counts = found.drafted.counts(3)
    verified = counts.rounds + int(counts.accepted_K.sum())
    assert 5 * 19 <= verified < 5 * (19 + 4)
    assert total(found.timings()).tokens == 5 * 19
    assert all(timing.baseline_tokens == timing.tokens for timing in found.timings())


def test_no_prompt_is_no_work() -> None:
    log: list[tuple[str, tuple[int, ...], int]] = []
    clock = Clock("any", 1.0, log)
    assert measure(clock, clock, [], [], batch=2, max_new_tokens=5).timings() == []
    assert not log
