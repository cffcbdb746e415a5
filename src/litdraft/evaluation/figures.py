"""From what was measured to a report's figures: rates from counts, paces from times."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from litdraft.acceptance.counts import ratio
from litdraft.evaluation import quality
from litdraft.evaluation.benchmark import speedup, tokens_per_second, total
from litdraft.evaluation.losslessness import Verdicts
from litdraft.evaluation.measure import SamplingResult, Tally
from litdraft.reports.schema import (
    Acceptance,
    AcceptanceFigures,
    Floors,
    Group,
    Losslessness,
    PrefillSeconds,
    Quality,
    Speed,
    StopRuleFit,
    Timing,
)


def acceptance(result: SamplingResult, stop_rule: StopRuleFit | None) -> Acceptance:
    """All prompts under one sampling; by category if there are several."""
    groups = {name: _group(tally) for name, tally in result.groups.items()}
    return Acceptance(
        temperature=result.sampling.temperature,
        stop_rule=stop_rule,
        groups=groups if len(groups) > 1 else {},
        **vars(acceptance_figures(result.whole)),
    )


def acceptance_figures(tally: Tally) -> AcceptanceFigures:
    counts, replays = tally.counts, tally.replays
    predicted = replays["drafter"]
    return AcceptanceFigures(
        mean_acceptance_length=counts.mean_acceptance_length,
        acceptance_rate=counts.acceptance_rate,
        conditional_acceptance=counts.conditional_acceptance,
        survival=counts.survival,
        accepted_lengths=counts.lengths_N.tolist(),
        rounds=counts.rounds,
        predicted_mean_acceptance_length=predicted.mean_acceptance_length,
        predicted_survival=predicted.survival_K.tolist(),
        repeated_4grams=share(*tally.repeated_4grams),
        floor=Floors(*(replays[name].mean_acceptance_length for name in Floors._fields)),
        quality=text_quality(tally.quality_2n),
    )


def _group(tally: Tally) -> Group:
    """A category; it has a speed of its own if prompts were decoded one by one."""
    times_4 = tally.times_4
    pace = float(ratio(times_4)) if (times_4 > 0).all() else None
    return Group(prompts=tally.prompts, speedup=pace, **vars(acceptance_figures(tally)))


def speed(timings: Sequence[Timing]) -> Speed:
    """Decoding alone, and with the prefill."""
    baseline, drafted = tokens_per_second(timings)
    whole = total(timings)
    return Speed(
        tokens_per_second=drafted,
        baseline_tokens_per_second=baseline,
        speedup=speedup(timings),
        speedup_with_prefill=speedup(timings, with_prefill=True),
        prefill_seconds=PrefillSeconds(whole.baseline_prefill_seconds, whole.prefill_seconds),
        timed_batches=len(timings),
        tokens=whole.tokens,
        timings=list(timings),
    )


def losslessness(verdicts: Verdicts, tolerance: float) -> Losslessness:
    return Losslessness(**vars(verdicts), tolerance=tolerance)


def text_quality(sums_2n: Tensor) -> Quality | None:
    """Both decoders' texts compared with references, from their sums; None if there are none."""
    texts = int(sums_2n[0, 0])
    return Quality(texts, *map(quality.figures, sums_2n)) if texts else None


def share(part: int, whole: int) -> float:
    return part / max(whole, 1)
