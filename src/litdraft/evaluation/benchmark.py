"""Prompts decoded plainly and speculatively, side by side in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from litdraft.acceptance.counts import Counts, Interval, paired_bootstrap
from litdraft.decoding.result import Decoder, Generation


@dataclass
class Side:
    """One decoder's work: texts and rounds by prompt, seconds and tokens by batch."""

    tokens: list[list[int]] = field(default_factory=list)
    accepted: list[list[int]] = field(default_factory=list)
    drafted: list[list[int]] = field(default_factory=list)
    prefill_seconds: list[float] = field(default_factory=list)
    decode_seconds: list[float] = field(default_factory=list)
    decoded: list[int] = field(default_factory=list)  # tokens behind the prefill's

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
    """Both sides of the same prompts."""

    baseline: Side = field(default_factory=Side)
    drafted: Side = field(default_factory=Side)

    def times(self) -> Tensor:
        """times_n6: prefill, decode and decoded tokens of a batch, the baseline's first."""
        columns = [
            column
            for side in (self.baseline, self.drafted)
            for column in (side.prefill_seconds, side.decode_seconds, side.decoded)
        ]
        return torch.tensor(columns, dtype=torch.float64).T.reshape(-1, 6)


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

    `rows` number the prompts in the whole work. Repeats are timed anew and averaged; the texts
    are the same every time. The first batch of each size warms up, at full length: what compiles
    does so once for every shape, and a shorter cache is another shape.
    """
    measurement = Measurement()
    firsts = range(0, len(prompts), batch)
    batches = [(prompts[at : at + batch], rows[at : at + batch]) for at in firsts]
    for some, ids in {len(pair[0]): pair for pair in reversed(batches)}.values():
        for decoder in (baseline, drafted):
            decoder.generate(some, max_new_tokens, ids)
    drafted.reset()
    encoder_decoder = [(baseline, measurement.baseline), (drafted, measurement.drafted)]
    for number, (some, ids) in enumerate(batches):
        order = encoder_decoder if number % 2 == 0 else encoder_decoder[::-1]
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


def speedup(times_n6: Tensor, with_prefill: bool = False, seed: int = 0) -> Interval:
    """From `times` of all processes: time per token against the baseline's."""
    plain_prefill, plain, plain_tokens, prefill, decode, tokens = times_n6.unbind(1)
    if with_prefill:
        plain, decode = plain + plain_prefill, decode + prefill
    return paired_bootstrap(decode, tokens, plain, plain_tokens, seed=seed)


def tokens_per_second(times_n6: Tensor) -> tuple[float, float]:
    """Decoding alone: the baseline's, and with the drafter."""
    sums = times_n6.sum(0)
    return float(sums[2] / sums[1]), float(sums[5] / sums[4])
