"""Prompts decoded plainly and speculatively, side by side in one process."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, field

import torch

from litdraft.acceptance.counts import Counts, Interval, paired_bootstrap
from litdraft.decoding.result import Decoder, Generation
from litdraft.reports.schema import Timing


@dataclass
class Side:
    """One decoder's results: texts and rounds by prompt, seconds and tokens by batch."""

    tokens: list[list[int]] = field(default_factory=list)
    accepted: list[list[int]] = field(default_factory=list)
    drafted: list[list[int]] = field(default_factory=list)
    prefill_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)  # tokens after the prefill's

    def add(self, generation: Generation) -> None:
        self.tokens += generation.tokens
        self.accepted += generation.accepted
        self.drafted += generation.drafted
        self.prefill_seconds.append(generation.prefill_seconds)
        self.decode_seconds.append(generation.decode_seconds)
        self.decoded.append(sum(len(row) - 1 for row in generation.tokens))

    def counts(self, k: int) -> Counts:
        return Counts.of(self.accepted, self.drafted, k)


@dataclass
class Measurement:
    """Both decoders' results for the same prompts."""

    baseline: Side = field(default_factory=Side)
    drafted: Side = field(default_factory=Side)

    def timings(self) -> list[Timing]:
        """One for each batch."""
        columns = (
            column
            for side in (self.baseline, self.drafted)
            for column in (side.prefill_seconds, side.decode_seconds, side.decoded)
        )
        return [Timing(*row) for row in zip(*columns, strict=True)]


def measure(
    baseline: Decoder,
    drafted: Decoder,
    prompts: Sequence[Sequence[int]],
    rows: Sequence[int],
    *,
    batch: int,
    max_new_tokens: int,
    repeats: int = 1,
    advance: Callable[[], None] | None = None,
) -> Measurement:
    """Decode every prompt with both, batch by batch, in alternating order, after a warm-up.

    `rows` number the prompts in the whole evaluation. Repeats are timed again and averaged; the
    texts are the same every time. The first batch of each size warms up, at full length: a graph
    is compiled for every shape, and a shorter cache is another shape.
    """
    measurement = Measurement()
    firsts = range(0, len(prompts), batch)
    batches = [(prompts[i : i + batch], rows[i : i + batch]) for i in firsts]
    for some, ids in {len(pair[0]): pair for pair in reversed(batches)}.values():
        for decoder in (baseline, drafted):
            decoder.generate(some, max_new_tokens, ids)
    drafted.reset()
    sides = [(baseline, measurement.baseline), (drafted, measurement.drafted)]
    for number, (some, ids) in enumerate(batches):
        order = sides if number % 2 == 0 else sides[::-1]
        for decoder, side in order:
            side.add(decoder.generate(some, max_new_tokens, ids))
        for _ in range(repeats - 1):
            for decoder, side in order:
                again = decoder.generate(some, max_new_tokens, ids)
                side.prefill_seconds[-1] += again.prefill_seconds
                side.decode_seconds[-1] += again.decode_seconds
        for _, side in order:
            side.prefill_seconds[-1] /= repeats
            side.decode_seconds[-1] /= repeats
        if advance:
            advance()
    return measurement


def speedup(timings: Sequence[Timing], with_prefill: bool = False, seed: int = 0) -> Interval:
    """Time per token of the baseline over the drafter's, from the batches of all processes."""
    prefill = 1.0 if with_prefill else 0.0
    baseline_n, drafted_n = (
        torch.tensor([decode + prefill * read for decode, read in pairs], dtype=torch.float64)
        for pairs in (
            [(t.baseline_decode_seconds, t.baseline_prefill_seconds) for t in timings],
            [(t.decode_seconds, t.prefill_seconds) for t in timings],
        )
    )
    tokens_n = torch.tensor([t.tokens for t in timings])
    baseline_tokens_n = torch.tensor([t.baseline_tokens for t in timings])
    return paired_bootstrap(drafted_n, tokens_n, baseline_n, baseline_tokens_n, seed=seed)


def tokens_per_second(timings: Sequence[Timing]) -> tuple[float, float]:
    """Decoding alone: without the drafter, and with it."""
    whole = total(timings)
    baseline, drafted = whole.baseline_decode_seconds, whole.decode_seconds
    return (
        whole.baseline_tokens / baseline if baseline else math.nan,
        whole.tokens / drafted if drafted else math.nan,
    )


def total(timings: Sequence[Timing]) -> Timing:
    """The sum of each column."""
    columns = zip(*map(astuple, timings), strict=True) if timings else [()] * 6
    return Timing(*map(sum, columns))
