"""Training sees what decoding does: on the same tokens `states` equals what `propose` computes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.fakes import TRAINED, context_of, ngram, random_target
from torch import Tensor

from litdraft.drafters.lstm import LSTM
from litdraft.drafters.transformer import Transformer
from litdraft.errors import UserError
from litdraft.protocols import Observation, Trainable, TrainingBatch
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

K = 3
SAMPLING = Sampling(1.0)


def own_head(target: LlamaTarget) -> Trainable:
    return LSTM(target.spec, layers=1, width=10, head="own").double()


def frozen_head(target: LlamaTarget) -> Trainable:
    return LSTM(target.spec, layers=2, width=10).double()


def taught(target: LlamaTarget, drafter: Trainable, tokens_BT: Tensor, k: int = K) -> Tensor:
    """probs_BSKV from `states`."""
    hidden_BSD = target.forward(tokens_BT[:, :-1]).hidden_BPD
    batch = TrainingBatch(tokens_BT, torch.ones_like(tokens_BT[:, 1:]).bool(), hidden_BSD, None, k)
    states_BSKC = drafter.states(batch).expand(-1, -1, k, -1)
    return torch.stack(
        [SAMPLING.probs(drafter.unembed(states_BSKC[:, :, j], j)) for j in range(k)], 2
    )


@pytest.mark.parametrize("family", [own_head, frozen_head, *TRAINED, ngram])
def test_states_equal_what_propose_computes(family: Callable[[LlamaTarget], Trainable]) -> None:
    """Several rounds over ragged rows, with every number of accepted drafts."""
    target = random_target()
    drafter = family(target).eval()
    drafter.bind(target)
    text_BT = torch.randint(2, 24, (2, 40))
    length_B = torch.tensor([4, 7])
    context = context_of(text_BT.clone(), length_B.clone())
    state = drafter.allocate(2, 40, K)
    hidden = target.forward(text_BT[:, :6]).hidden_BPD
    zero_B = torch.zeros_like(length_B)
    drafter.observe(state, Observation(text_BT[:, :6], zero_B, length_B - 1, hidden), context)
    for accepted in ([0, 3], [3, 3], [2, 0], [3, 1]):
        proposal = drafter.propose(state, context, K, SAMPLING, torch.rand(2, K).double())
        assert proposal.probs_BNU is not None
        for row, length in enumerate(context.length_B.tolist()):
            drafted = proposal.tokens_BN[row]
            tokens = torch.cat((context.tokens_BT[row, :length], drafted))[None]
            probs_SKV = taught(target, drafter, tokens)[0]
            for j in range(K):  # the round began at t = length - 2; draft j stands at t + 1 + j
                exact = probs_SKV[length - 1 + j, j]
                assert (proposal.probs_BNU[row, j] - exact).abs().max() < 1e-10
        # The text goes on with `accepted` drafts and a token of the target's own.
        count_B = torch.tensor(accepted) + 1
        start_B = context.length_B - 1
        rows_B1, steps_P = torch.arange(2)[:, None], torch.arange(K + 1)
        tokens_BP = torch.cat((context.last_BP(1), proposal.tokens_BN), 1)
        kept_BK = torch.arange(K) < torch.tensor(accepted)[:, None]
        slots_BK = context.length_B[:, None] + steps_P[:K]
        former_BK = context.tokens_BT.gather(1, slots_BK)
        context.tokens_BT.scatter_(1, slots_BK, torch.where(kept_BK, proposal.tokens_BN, former_BK))
        context.length_B = context.length_B + count_B
        hidden = target.forward(context.tokens_BT).hidden_BPD
        hidden = hidden[rows_B1, start_B[:, None] + steps_P]
        drafter.observe(state, Observation(tokens_BP, start_B, count_B, hidden), context)


@pytest.mark.parametrize("family", [own_head, frozen_head, *TRAINED])
def test_everything_learns_but_the_target(family: Callable[[LlamaTarget], Trainable]) -> None:
    target = random_target()
    drafter = family(target)
    drafter.bind(target)
    probs = taught(target, drafter, torch.randint(2, 24, (2, 12)), k=5)
    loss = -probs[:, 6:, :, 3].log().sum()
    loss.backward()
    for name, weight in drafter.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().sum() > 0, name
    assert all(weight.grad is None for weight in target.model.parameters())
    assert not any("target" in name for name in drafter.state_dict())


def test_bad_shapes_are_told() -> None:
    target = random_target()
    with pytest.raises(UserError, match="layers=0"):
        LSTM(target.spec, layers=0)
    with pytest.raises(UserError, match="head is target or own"):
        LSTM(target.spec, head="mine")
    with pytest.raises(UserError, match="vocabulary=30 was given, but random has 24"):
        Transformer(target.spec, vocabulary=30)
