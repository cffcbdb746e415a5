"""Every emitted token is judged, and a planted one is found."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.fakes import random_target

from litdraft.decoding.autoregress import Autoregress
from litdraft.evaluation.losslessness import judge, logits_of, measured_error, miscut
from litdraft.protocols import TargetOutput
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
    """The second likeliest token where it is closest: the tolerance decides."""
    target = random_target(dtype=torch.float32)
    plain = texts(target)
    top = logits_of(target, PROMPTS[0], plain[0]).topk(2, -1)
    gaps = top.values[:, 0] - top.values[:, 1]
    position = int(gaps.argmin())
    planted = [[*plain[0][:position], int(top.indices[position, 1])], plain[1]]
    gap = float(gaps[position])
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


@pytest.mark.parametrize("shape", [1, 4])
def test_either_shape_of_pass_counts(shape: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of one token or k + 1 tokens a pass rounds worse is what excuses a tie."""
    exact, rough = random_target(), random_target()
    forward, noise = rough.forward, torch.randn(16).double() * 1e-3

    def worse(tokens_BP: torch.Tensor, *rest: Any, **named: Any) -> TargetOutput:
        output = forward(tokens_BP, *rest, **named)
        if tokens_BP.shape[1] == shape:
            output.hidden_BPD.add_(noise)
        return output

    monkeypatch.setattr(rough, "forward", worse)
    text = texts(exact)[0][:29]  # after the prompt 28 tokens are read: seven whole passes of four
    assert measured_error(exact, rough, PROMPTS[0][:2], text, 3) > 1e-4


@pytest.mark.parametrize("tolerance", [float("nan"), float("inf")])
def test_an_error_without_bounds_excuses_nothing(tolerance: float) -> None:
    target = random_target(dtype=torch.float32)
    plain = texts(target)
    planted = [[*text[:7], (text[7] + 1) % 24, *text[8:]] for text in plain]
    assert judge(target, PROMPTS, plain, plain, tolerance).mismatches == 0
    verdicts = judge(target, PROMPTS, planted, plain, tolerance)
    assert verdicts.near_ties == 0
    assert verdicts.mismatches >= 2


def test_a_target_that_computes_no_numbers_does_not_pass() -> None:
    target = random_target(dtype=torch.float32)
    target.model.norm.weight.data[0] = float("nan")
    plain = texts(target)
    assert judge(target, PROMPTS, plain, plain, tolerance=1e-4).mismatches == 60


def test_a_text_that_only_ends_elsewhere_is_a_mismatch() -> None:
    """Each of its tokens is the target's own choice; those it lacks are counted."""
    target = random_target(dtype=torch.float32)
    plain = texts(target)
    for cut in ([plain[0][:25], plain[1]], [[], plain[1]]):
        lost = 30 - len(cut[0])
        assert judge(target, PROMPTS, cut, plain, tolerance=1e-4).mismatches == lost
        assert judge(target, PROMPTS, plain, cut, tolerance=1e-4).mismatches == lost


def test_texts_that_part_at_a_near_tie_may_end_where_they_like() -> None:
    assert miscut([1, 2, 3], [1, 2, 3]) == 0
    assert miscut([1, 2, 3], [1, 2]) == 1
    assert miscut([1, 4], [1, 2, 3]) == 0
