"""Every emitted token is judged, and a planted one is found."""

from __future__ import annotations

import torch
from tests.fakes import random_target

from litdraft.decoding.autoregress import Autoregress
from litdraft.evaluation.losslessness import judge, logits_behind, measured_error
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

PROMPTS = [[1, 5, 6, 7], [1, 9]]


def texts(target: LlamaTarget) -> list[list[int]]:
    return Autoregress(target, Sampling()).generate(PROMPTS, 30).tokens


def test_the_targets_own_text_has_no_flaw() -> None:
    target = random_target(dtype=torch.float32)
    plain = texts(target)
    verdicts = judge(target, PROMPTS, plain, plain, tolerance=1e-4)
    assert (verdicts.prompts, verdicts.identical) == (2, 2)
    assert (verdicts.near_ties, verdicts.mismatches) == (0, 0)


def test_a_planted_token_is_a_near_tie_or_a_mismatch_by_how_far_it_lies_below() -> None:
    """The second best at the narrowest place: the tolerance decides."""
    target = random_target(dtype=torch.float32)
    plain = texts(target)
    best = logits_behind(target, PROMPTS[0], plain[0]).topk(2, -1)
    gaps = best.values[:, 0] - best.values[:, 1]
    place = int(gaps.argmin())
    planted = [[*plain[0][:place], int(best.indices[place, 1])], plain[1]]
    gap = float(gaps[place])
    lenient = judge(target, PROMPTS, planted, plain, tolerance=gap * 1.01)
    strict = judge(target, PROMPTS, planted, plain, tolerance=gap * 0.99)
    assert (lenient.identical, lenient.near_ties, lenient.mismatches) == (1, 1, 0)
    assert (strict.identical, strict.near_ties, strict.mismatches) == (1, 0, 1)


def test_the_measured_error_is_that_of_the_dtype() -> None:
    """float64 weights read in decoding's shapes agree with themselves; bfloat16 ones do not."""
    exact, half = random_target(), random_target(dtype=torch.bfloat16)
    text = texts(exact)[0]
    assert measured_error(exact, exact, PROMPTS[0], text, 3) < 1e-5  # compared in float32
    assert measured_error(exact, half, PROMPTS[0], text, 3) > 1e-3
