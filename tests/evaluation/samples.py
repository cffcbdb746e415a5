"""Reports as evaluations put them together, without an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch

from litdraft.acceptance.counts import Counts
from litdraft.acceptance.replay import Replay
from litdraft.evaluation import figures
from litdraft.evaluation.losslessness import Verdicts
from litdraft.evaluation.measure import Tally
from litdraft.reports.schema import (
    Acceptance,
    Calibration,
    Compiled,
    DraftLength,
    Floors,
    Group,
    OtherSampling,
    Ranking,
    Report,
    StopRuleFit,
    Timing,
)


def times(batches: int = 6, pace: float = 1.5) -> list[Timing]:
    """Of a drafter that is `pace` times as fast."""
    plain = [1 + number / 10 for number in range(batches)]
    return [Timing(0.1, seconds, 100, 0.1, seconds / pace, 100) for seconds in plain]


LENGTHS = [DraftLength(1, 1.5, 1e-3, 1500.0), DraftLength(2, 1.8, 1.1e-3, 1636.4)]
STOP_RULE = StopRuleFit(
    0.4, None, 0.9, -0.1, Calibration(500, 0.8, 0.02, {"agrees": Ranking(0.8, 0.95)})
)


def tally(quality_2n: torch.Tensor | None = None) -> Tally:
    """Rounds that kept 0, 0, 1 and 2 of two drafts; replay expects 1.7 tokens per round."""
    replays = {
        name: Replay.of_totals(torch.tensor([10.0, 10.0, 5.0, 5.0, 2.0], dtype=torch.float64))
        for name in ("drafter", "lookup", "untrained")
    }
    return Tally(
        prompts=8,
        counts=Counts.of([[0, 0, 1, 2]], [[2, 2, 2, 2]], 2),
        replays=replays,
        repeated_4grams=(1, 4),
        times_4=torch.tensor([3.0, 100.0, 2.0, 100.0]),
        quality_2n=torch.zeros(2, 24) if quality_2n is None else quality_2n,
    )


def acceptance(temperature: float = 0.0, quality_2n: torch.Tensor | None = None) -> Acceptance:
    whole = replace(
        figures.acceptance_figures(tally(quality_2n)), floor=Floors(lookup=1.2, untrained=1.0)
    )
    return Acceptance(temperature=temperature, stop_rule=None, groups={}, **vars(whole))


def group(length: float, speedup: float | None = 1.3) -> Group:
    part = replace(figures.acceptance_figures(tally()), mean_acceptance_length=length)
    return Group(prompts=4, speedup=speedup, **vars(part))


def sample(
    timings: Sequence[Timing] | None = None,
    mismatches: int = 0,
    quality_2n: tuple[torch.Tensor | None, torch.Tensor | None] = (None, None),
    **changed: Any,
) -> Report:
    speed = figures.speed(times() if timings is None else timings)
    report = Report(
        **vars(acceptance(0.0, quality_2n[0])),
        **vars(speed),
        other_sampling=OtherSampling(**vars(acceptance(1.0, quality_2n[1])), speedup=speed.speedup),
        losslessness=figures.losslessness(Verdicts(8, 7, 1, mismatches), 3e-5),
        k=2,
        decoding="speculative",
        draft_lengths=[],
        draft_milliseconds=0.25,
        training_seconds=None,
        prompts=8,
        batch=1,
        max_new_tokens=32,
        repeats=1,
        top_k=0,
        top_p=1.0,
        target="tiny",
        drafter="lstm",
        parameters=1000,
        dtype="float32",
        fused=True,
        devices=1,
        compile="auto",
        compiled=Compiled(False, False),
        compile_seconds=0.0,
        seed=0,
        command="python evaluate.py run=outputs/one",
        commit=None,
        versions={"python": "3.11"},
        device="a processor, 2 threads",
    )
    return replace(report, **changed)
