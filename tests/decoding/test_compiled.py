"""Decoding made fast is still lossless: by the fused step, compiled, with rows that leave."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.drafters.seq2seq import attending_lstm
from tests.fakes import (
    FAMILIES,
    ONE_EACH,
    lstm,
    narrow_lstm,
    random_t5,
    random_target,
    sentence,
)  # fmt: skip
from torch._dynamo.exc import TorchDynamoException

from litdraft.acceptance.counts import Counts
from litdraft.acceptance.replay import replay_texts
from litdraft.decoding import batching as shapes
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.batching import rows_to_keep
from litdraft.decoding.result import Generation
from litdraft.decoding.speculate import Speculate
from litdraft.evaluation.compile_choice import faster
from litdraft.evaluation.draft_length import draft_lengths, fastest
from litdraft.evaluation.losslessness import judge, measured_error
from litdraft.native.build import available
from litdraft.protocols import Drafter, Target
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.targets.seq2seq import Seq2SeqTarget

PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2], [1, 2, 2]]
K = 3


@pytest.mark.skipif(not available(), reason="the native operations do not build here")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_fused_step_decodes_without_loss(
    family: Callable[[LlamaTarget], Drafter], dtype: torch.dtype
) -> None:
    """Every token is the float32 target's own, or a tie that this type cannot tell apart."""
    exact, fused = random_target(dtype=torch.float32), random_target(dtype=dtype)
    drafter = family(fused).to(dtype if dtype == torch.float32 else torch.float32)
    fused.fuse()
    drafter.eval().bind(fused)
    drafter.prepare_for_decoding(dtype, native=True)
    plain = Autoregress(fused, Sampling()).generate(PROMPTS, 40).tokens
    told = Speculate(fused, drafter, K, Sampling()).generate(PROMPTS, 40)
    error = max(
        measured_error(exact, fused, prompt, text, K)
        for prompt, text in zip(PROMPTS, plain, strict=True)
    )
    for texts in (plain, told.tokens):
        assert judge(exact, PROMPTS, texts, texts, 2 * error).mismatches == 0
    seen = Counts.of(told.accepted, told.drafted, K)
    replayed = replay_texts(fused, drafter, PROMPTS, told.known, K, Sampling(), complete=True)
    if dtype == torch.float32:
        assert told.tokens == plain
        assert replayed.mean_acceptance_length == pytest.approx(seen.mean_acceptance_length)


@pytest.mark.parametrize("family", [*ONE_EACH, sentence])
def test_every_family_compiles(family: Callable[[LlamaTarget], Drafter]) -> None:
    """One row, sampled: the round's graph, or its graphs where a family drafts on the host."""
    target = random_target()
    check_compiled(target, family(target), PROMPTS[0])


def test_a_round_behind_an_encoder_compiles() -> None:
    target = Seq2SeqTarget(random_t5().double(), "random")
    check_compiled(target, attending_lstm(target), [7, 5, 3, 5, 3, 8, 1])


def check_compiled(target: Target, drafter: Drafter, prompt: list[int]) -> None:
    drafter.eval().bind(target)
    told = [
        Speculate(target, drafter, 2, Sampling(1.0), compiled=compiled).generate([prompt], 12)
        for compiled in (False, True)
    ]
    assert told[0].tokens == told[1].tokens
    assert told[0].accepted == told[1].accepted


def test_compiled_rounds_say_what_eager_ones_say() -> None:
    """To the last token, in float64; two rows become one when the other is done. Sampled; greedy
    ones are in `benchmarks/lossless.py`, because building them takes half a minute."""
    target, some = random_target(eos=(11,)), PROMPTS[1:3]
    drafter, sampling = narrow_lstm(target), Sampling(1.0)
    drafter.eval().bind(target)
    told = [
        (
            Speculate(target, drafter, K, sampling, compiled=compiled).generate(some, 30),
            Autoregress(target, sampling, compiled=compiled).generate(some, 30),
        )
        for compiled in (False, True)
    ]
    assert told[0][0].tokens == told[1][0].tokens
    assert told[0][0].accepted == told[1][0].accepted
    assert told[0][1].tokens == told[1][1].tokens


@pytest.mark.parametrize("crowd", [0.0, 0.75, 1.0])
def test_rows_that_leave_change_nothing(crowd: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "CROWD", crowd)
    target = random_target(eos=(11,))
    for temperature in (0.0, 1.0):
        drafter = lstm(target)
        drafter.eval().bind(target)
        loop = Speculate(target, drafter, K, Sampling(temperature))
        plain = Autoregress(target, Sampling(temperature))
        for decoder in (loop, plain):
            together = decoder.generate(PROMPTS, 40)
            alone = [decoder.generate([p], 40, [row]) for row, p in enumerate(PROMPTS)]
            assert together.tokens == [one.tokens[0] for one in alone]
            assert len({len(text) for text in together.tokens}) > 1
        # The loop's own counts belong to the right prompts.
        assert [1 + sum(a) + len(a) for a in loop.generate(PROMPTS, 40).accepted] == [
            len(text) for text in loop.generate(PROMPTS, 40).known
        ]


def test_who_stays() -> None:
    assert rows_to_keep([False] * 4) is None
    assert rows_to_keep([False, True, False, False]) == [0, 2, 3]
    assert rows_to_keep([False, False, False, True, False]) is None, (
        "four of five are too many to move"
    )
    assert rows_to_keep([True, True]) == []
    assert rows_to_keep([False, False, True, False, True, True, True, True], few_shapes=True) == [
        0, 1, 3, 2,
    ]  # fmt: skip


def test_the_best_draft_length_is_measured() -> None:
    """Speed is expected tokens over measured seconds, for as many rows as are decoded at once."""
    target = random_target(dtype=torch.float32)
    drafter = narrow_lstm(target).float()
    drafter.eval().bind(target)
    lengths = draft_lengths(target, drafter, PROMPTS, 16, Sampling(), batch=2, longest=3)
    assert [length.k for length in lengths] == [1, 2, 3]
    means = [length.mean_acceptance_length for length in lengths]
    assert means == sorted(means)
    for length in lengths:
        speed = 2 * length.mean_acceptance_length / length.round_seconds
        assert length.tokens_per_second == pytest.approx(speed)
    assert fastest(lengths).tokens_per_second == max(told.tokens_per_second for told in lengths)


def test_a_draft_length_without_a_whole_round_is_left_out() -> None:
    target = random_target(dtype=torch.float32, context=32)
    drafter = narrow_lstm(target).float()
    drafter.eval().bind(target)
    assert draft_lengths(target, drafter, PROMPTS[:1], 1, Sampling(), longest=2) == []
    lengths = draft_lengths(target, drafter, PROMPTS[:1], 22, Sampling(), longest=8)
    assert [length.k for length in lengths] == [1, 2, 3], "k = 4 does not fit the context"


def test_what_cannot_compile_goes_on_eagerly() -> None:
    class Broken(Autoregress):
        def generate(self, *_: object, **__: object) -> Generation:
            raise TorchDynamoException("no compiler\nfor miles")

    target = random_target()
    eager, broken = Autoregress(target, Sampling()), Broken(target, Sampling())
    with pytest.warns(UserWarning, match="without compiling: no compiler;"):
        assert faster([eager, broken], PROMPTS, 4) is eager
