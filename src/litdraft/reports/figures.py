"""From counts and times to what a report says in figures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from litdraft.acceptance.counts import Counts, Interval
from litdraft.evaluation import quality as by_references
from litdraft.evaluation.benchmark import speedup, tokens_per_second
from litdraft.evaluation.losslessness import Verdicts

FLOORS = ("lookup", "untrained")


def acceptance(counts: Counts) -> dict[str, Any]:
    """What rounds tell: rates from counts."""
    return {
        "mean_acceptance_length": counts.mean_acceptance_length,
        "acceptance_rate": counts.acceptance_rate,
        "conditional_acceptance": counts.conditional_acceptance,
        "survival": counts.survival,
        "accepted_lengths": counts.lengths_N.tolist(),
        "rounds": counts.rounds,
    }


def speed(times_n6: Any) -> dict[str, Any]:
    """What the clock tells: decoding alone, and with the prefill beside it."""
    plain, drafted = tokens_per_second(times_n6)
    prefill = times_n6[:, [0, 3]].sum(0)
    return {
        "tokens_per_second": drafted,
        "baseline_tokens_per_second": plain,
        "speedup": interval(speedup(times_n6)),
        "speedup_with_prefill": interval(speedup(times_n6, with_prefill=True)),
        "prefill_seconds": {"baseline": float(prefill[0]), "drafted": float(prefill[1])},
        "timed_batches": len(times_n6),
        "tokens": int(times_n6[:, 5].sum()),
    }


def interval(found: Interval) -> dict[str, float]:
    return found._asdict()


def losslessness(verdicts: Verdicts, tolerance: float) -> dict[str, Any]:
    return {
        "prompts": verdicts.prompts,
        "identical": verdicts.identical,
        "near_ties": verdicts.near_ties,
        "mismatches": verdicts.mismatches,
        "tolerance": tolerance,
    }


def quality(sums_2n: Tensor) -> dict[str, Any]:
    """Both sides by the references, from their sums; nothing where there are none."""
    texts = int(sums_2n[0, 0])
    if not texts:
        return {}
    baseline, drafted = map(by_references.figures, sums_2n)
    return {"quality": {"prompts": texts, "baseline": baseline, "drafted": drafted}}


def share(repeated: int, total: int) -> float:
    return repeated / max(total, 1)
