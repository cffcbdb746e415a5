"""The recurrent head: what it reads from where, at every size of head, layers and text."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.fakes import context_of, random_target
from torch import Tensor

from litdraft.drafters.lstm import LSTM
from litdraft.drafters.parts.stepwise import HiddenState, starts_before
from litdraft.native.build import available
from litdraft.protocols import Observation, TrainingBatch
from litdraft.sampling import Sampling, draw
from litdraft.targets.llama import LlamaTarget

K = 3
TARGET = random_target()


def bound(layers: int, head: str, target: LlamaTarget = TARGET) -> LSTM:
    drafter = LSTM(target.spec, layers=layers, width=6, head=head).to(target.dtype)
    drafter.bind(target)
    return drafter


def lesson_of(tokens_BT: Tensor, hidden_BSD: Tensor) -> TrainingBatch:
    return TrainingBatch(tokens_BT, torch.ones_like(tokens_BT[:, 1:]).bool(), hidden_BSD, None, K)


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("head", ["target", "own"])
def test_states_equal_propose(layers: int, head: str) -> None:
    drafter, length = bound(layers, head), 6
    tokens_BT = torch.randint(2, 24, (4, length + K))
    length_B = torch.full((4,), length)
    context = context_of(tokens_BT, length_B)
    hidden_BSD = TARGET.forward(tokens_BT[:, :-1]).hidden_BPD
    state = HiddenState(hidden_BSD[:, length - 2])  # the last token is emitted and unread
    drawn_BK = torch.rand(4, K, dtype=torch.float64)
    proposal = drafter.propose(state, context, K, Sampling(1.0), drawn_BK)
    assert proposal.probs_BNU is not None
    tokens_BT[:, length:] = proposal.tokens_BN
    states_BSKC = drafter.states(lesson_of(tokens_BT, hidden_BSD))
    for j in range(K):
        taught_BV = drafter.unembed(states_BSKC[:, length - 1 + j, j], j).softmax(-1)
        assert (proposal.probs_BNU[:, j] - taught_BV).abs().max() < 1e-10
        # Drawn from what it says, by a uniform of its own: else acceptance is not lossless.
        own_B = draw(proposal.probs_BNU[:, j], drawn_BK[:, j])
        assert torch.equal(proposal.tokens_BN[:, j], own_B)


@torch.no_grad()
def test_only_what_is_trained_on_is_unrolled() -> None:
    drafter, places = bound(2, "target"), 30
    tokens_BT = torch.randint(2, 24, (3, places + 1))
    hidden_BSD = torch.randn(3, places, TARGET.spec.width, dtype=torch.float64)
    everything = lesson_of(tokens_BT, hidden_BSD)
    trained_BS = torch.zeros(3, places, dtype=torch.bool)
    trained_BS[0, 11:14] = trained_BS[1, -1] = trained_BS[1, 0] = True
    whole = drafter.states(everything)
    part = drafter.states(replace(everything, trained_BS=trained_BS))
    for row, place in trained_BS.nonzero().tolist():
        rounds = min(place, K)  # those that began inside the text
        assert torch.equal(part[row, place, :rounds], whole[row, place, :rounds])
    assert starts_before(trained_BS, K).sum() == (3 + K - 1) + K
    assert not part[2].any()


@torch.no_grad()
def test_a_state_depends_on_its_start_and_the_tokens_behind_it_alone() -> None:
    """Another hidden state at t, or another token at u, changes what reads it and nothing else."""
    drafter, places, t, u = bound(2, "target"), 9, 3, 5
    tokens_BT = torch.randint(2, 24, (2, places + 1))
    hidden_BSD = torch.randn(2, places, TARGET.spec.width, dtype=torch.float64)
    before = drafter.states(lesson_of(tokens_BT, hidden_BSD))
    other_BSD, other_BT = hidden_BSD.clone(), tokens_BT.clone()
    other_BSD[:, t] += 1
    other_BT[:, u] = (other_BT[:, u] - 2 + 7) % 22 + 2
    by_hidden = (drafter.states(lesson_of(tokens_BT, other_BSD)) != before).any(-1)
    by_token = (drafter.states(lesson_of(other_BT, hidden_BSD)) != before).any(-1)
    for s in range(places):
        for j in range(K):
            start = s - 1 - j  # reads hidden[start] and tokens[start + 1 .. s]
            assert by_hidden[:, s, j].tolist() == [start == t] * 2, (s, j)
            assert by_token[:, s, j].tolist() == [0 <= start < u <= s] * 2, (s, j)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])  # in torch, and natively
def test_a_row_that_read_nothing_keeps_its_start(dtype: torch.dtype) -> None:
    """In place: the state stays where a captured graph would look for it."""
    available()
    drafter = bound(1, "target").to(dtype)
    state = drafter.allocate(3, 20, K)
    state.hidden_BD.fill_(7.0)
    address, length_B = state.hidden_BD.data_ptr(), torch.tensor([9, 9, 9])
    context = context_of(torch.zeros(3, 20).long(), length_B)
    hidden_BPD = torch.randn(3, 4, TARGET.spec.width, dtype=dtype)
    count_B = torch.tensor([4, 0, 2])
    drafter.observe(
        state, Observation(torch.zeros(3, 4).long(), length_B, count_B, hidden_BPD), context
    )
    kept = [hidden_BPD[0, 3], torch.full_like(hidden_BPD[1, 0], 7.0), hidden_BPD[2, 1]]
    assert torch.equal(state.hidden_BD, torch.stack(kept))
    assert state.hidden_BD.data_ptr() == address


@torch.no_grad()
def test_memory_is_kept_at_first() -> None:
    """Before anything is learnt the keeping gates, and only they, stand at sigmoid(1)."""
    drafter = bound(2, "target")
    for name, weight in drafter.named_parameters():
        weight.mul_(weight == 1 if name.endswith("bias") else 0)
    unrolled = drafter.begin(torch.zeros(1, TARGET.spec.width, dtype=torch.float64))
    unrolled.long_LnW = [torch.ones_like(long) for long in unrolled.long_LnW]
    drafter.step(unrolled, torch.tensor([5]), 0)
    kept, open_half = torch.sigmoid(torch.tensor([1.0, 0.0]).double())
    # The lower layer's output meets weights of zero, so both layers do the same.
    for long_nW, short_nW in zip(unrolled.long_LnW, unrolled.short_LnW, strict=True):
        assert torch.allclose(long_nW, kept)
        assert torch.allclose(short_nW, open_half * kept.tanh())


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_a_text_may_be_shorter_than_a_draft(length: int) -> None:
    tokens_BT = torch.randint(2, 24, (2, length))
    hidden_BSD = torch.randn(2, length - 1, TARGET.spec.width, dtype=torch.float64)
    states_BSKC = bound(1, "own").states(lesson_of(tokens_BT, hidden_BSD))
    assert states_BSKC.shape == (2, length - 1, K, 6)


@pytest.mark.parametrize("head", ["target", "own"])
@pytest.mark.parametrize("mine", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("targets", [torch.float32, torch.bfloat16])
def test_drafter_and_target_may_differ_in_type(
    head: str, mine: torch.dtype, targets: torch.dtype
) -> None:
    """Rounded weights, the same distribution up to the rounding."""
    tokens_BT = torch.randint(2, 24, (2, 8))
    exact, told = bound(1, head, random_target(dtype=torch.float32)), []
    target = random_target(dtype=targets)
    rounded = LSTM(target.spec, layers=1, width=6, head=head)
    rounded.load_state_dict(exact.state_dict())
    rounded.to(mine).bind(target)
    for drafter in (exact, rounded):
        hidden_BSD = exact.target.forward(tokens_BT[:, :-1]).hidden_BPD.to(drafter.target.dtype)
        states_BSKC = drafter.states(lesson_of(tokens_BT, hidden_BSD))
        assert states_BSKC.dtype == drafter.opening.weight.dtype
        told.append(Sampling(1.0).probs(drafter.unembed(states_BSKC[:, 2:, 1], 1)))
    assert (told[0] - told[1]).abs().max() < 0.01


@pytest.mark.skipif(not available(), reason="the native operations do not build here")
@pytest.mark.parametrize("temperature", [0.0, 0.7])
@pytest.mark.parametrize(
    "shape",
    [{}, {"layers": 2, "width": 32}, {"head": "own"}, {"vocabulary": 9},
     {"head": "own", "vocabulary": 9}],
)  # fmt: skip
@torch.no_grad()
def test_the_native_draft_is_the_draft(shape: dict[str, Any], temperature: float) -> None:
    """Tokens, and the distributions they were drawn from; seventeen rows are two tiles."""
    torch.manual_seed(0)
    target = random_target(dtype=torch.float32)
    target.fuse()
    drafter = LSTM(target.spec, **{"width": 16, **shape})
    for weight in drafter.parameters():
        torch.nn.init.normal_(weight, std=0.5)
    drafter.head.learn(torch.rand(24))
    drafter.bind(target)
    rows, sampling = 17, Sampling(temperature)
    state = HiddenState(torch.randn(rows, 16))
    tokens_BT = torch.randint(0, 24, (rows, 9))
    length_B = torch.full((rows,), 9)
    context = context_of(tokens_BT, length_B)
    drawn_BK = torch.rand(rows, 4, dtype=torch.float64)
    eager = drafter.propose(state, context, 4, sampling, drawn_BK)
    drafter.prepare_for_decoding(torch.float32, native=True)
    fused = drafter.propose(state, context, 4, sampling, drawn_BK)
    assert torch.equal(eager.tokens_BN, fused.tokens_BN)
    if temperature == 0:
        assert fused.probs_BNU is None
        return
    assert eager.probs_BNU is not None
    assert fused.probs_BNU is not None
    assert (eager.probs_BNU - fused.probs_BNU).abs().max() < 1e-5
    assert (eager.probs_BNU.sum(-1) - 1).abs().max() < 1e-6
