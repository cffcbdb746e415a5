"""Every family against its formula, written down here a second time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from tests.fakes import (
    cnn,
    cnn_lm,
    low_matrix,
    lstm_lm,
    matrix,
    mlp,
    mtp,
    own_mtp,
    random_target,
    untied_mlp,
)
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.drafters.parts.correction import Correction
from litdraft.errors import UserError
from litdraft.protocols import Trainable, TrainingBatch
from litdraft.targets.llama import LlamaTarget

K, PLACES = 4, 12


def taught(
    target: LlamaTarget, drafter: Any, start_BS: Tensor | None = None
) -> tuple[TrainingBatch, Any]:
    """A lesson of random text, and the drafter's states on it."""
    drafter.eval().bind(target)
    tokens_BT = torch.randint(2, 24, (2, PLACES + 1))
    output = target.forward(tokens_BT[:, :-1], start_BP=start_BS)
    trained_BS = torch.ones(2, PLACES, dtype=torch.bool)
    batch = TrainingBatch(tokens_BT, trained_BS, output.hidden_BPD, None, K, start_BS)
    return batch, drafter.states(batch)


@pytest.mark.parametrize("tied", [True, False])
def test_the_recurrent_mlp(tied: bool) -> None:
    """ArXiv 2404.19124 as published: P, E, LN and head of each step, weights s_w and e_w."""
    target = random_target()
    drafter: Any = mlp(target) if tied else untied_mlp(target)
    batch, states_BSKC = taught(target, drafter)
    assert batch.hidden_BSD is not None
    start, n, inner = 3, 5, 12
    survive = 0.5 ** (0.5 / n)
    add = math.sqrt((1 - survive**2) * inner / 2)
    hidden = batch.hidden_BSD[0, start]
    state = hidden / (hidden.square().mean() + 1e-6).sqrt() / math.sqrt(2)
    for j in range(K):
        shared = 0 if tied else j
        projection = drafter.projections[min(j, 1) if tied else j].weight
        embedding = drafter.embeddings[shared].weight[batch.tokens_BT[0, start + 1 + j]]
        norm = drafter.norms[shared]
        state = projection @ state + add / survive * embedding
        state = state / (state.square().mean() + 1e-6).sqrt() * norm.weight + norm.bias
        state = state * 0.5 * (1 + torch.erf(state / math.sqrt(2)))
        read = state if drafter.out is None else drafter.out.weight @ state
        assert torch.allclose(states_BSKC[0, start + 1 + j, j], read)


def test_medusas_heads() -> None:
    target = random_target()
    drafter: Any = mtp(target)
    batch, states_BSKC = taught(target, drafter)
    assert batch.hidden_BSD is not None
    state = batch.hidden_BSD[1, 5]
    for weights, biases in zip(drafter.weights, drafter.biases, strict=True):
        state = state + F.silu(weights[2] @ state + biases[2])
    assert torch.allclose(states_BSKC[1, 5 + 3, 2], state)
    logits = drafter.unembed(states_BSKC[1, 8:9, 2], 2)
    assert torch.allclose(logits, target.unembed(state[None]))


def test_a_map_for_each_position_full_or_of_low_rank() -> None:
    target = random_target()
    for drafter in (matrix(target), low_matrix(target)):
        some: Any = drafter
        batch, states_BSKC = taught(target, some)
        assert batch.hidden_BSD is not None
        hidden = batch.hidden_BSD[0, 2]
        if some.map_rank is None:
            expected = some.maps_KDD[3] @ hidden
        else:
            expected = hidden + some.up_KDR[3] @ some.down_KRD[3] @ hidden
        assert torch.allclose(states_BSKC[0, 2 + 4, 3, : len(hidden)], expected)


@pytest.mark.parametrize("family", [matrix, own_mtp])
def test_a_correction_sees_the_draft_before(family: Any) -> None:
    """Gated and recurrent, against the formula; without it nothing depends on the draft."""
    target = random_target()
    drafter: Any = family(target)
    batch, states_BSKC = taught(target, drafter)
    assert batch.hidden_BSD is not None
    correction, hidden, start = drafter.correction, batch.hidden_BSD[0, 1], 1
    memory = correction.begin(hidden[None])
    for j in range(K):
        token = batch.tokens_BT[0, start + 1 + j]
        embedded = correction.embedding.weight[token]
        state = states_BSKC[0, start + 1 + j, j, : len(hidden)]
        if correction.cell is None:
            opened = correction.gate.weight @ torch.cat((state, embedded)) + correction.gate.bias
            read = opened.sigmoid() * embedded
        else:
            memory = nn.GRUCell.forward(correction.cell, embedded[None], memory)
            read = memory[0]
        bias = correction.out.weight @ read
        logits = drafter.unembed(states_BSKC[:1, start + 1 + j, j], j)[0]
        assert torch.allclose(logits, drafter.head(state[None], j)[0] + bias)
        assert bias.abs().max() > 1e-3


def test_own_unembeddings_begin_as_the_targets() -> None:
    target = random_target()
    drafter: Any = own_mtp(target)
    drafter.bind(target)
    counts_V = torch.rand(24)
    drafter.prepare(lambda: counts_V)
    states = torch.randn(3, target.spec.width).double()
    chosen = counts_V.topk(9).indices.sort().values
    for j in range(5):
        assert torch.allclose(drafter.head(states, j), target.unembed(states)[:, chosen])


def test_the_lstm_language_model() -> None:
    target = random_target()
    drafter: Any = lstm_lm(target)
    batch, states_BS1C = taught(target, drafter)
    exact, _ = drafter.network(drafter.embedding(batch.tokens_BT[:, :-1]))
    assert torch.allclose(states_BS1C[:, :, 0], exact)
    assert torch.allclose(drafter.unembed(exact[0], 0), exact[0] @ drafter.embedding.weight.T)


def test_gated_convolutions() -> None:
    """Plain conv1d over a text padded with zeros, and nothing beyond the span counts."""
    target = random_target()
    drafter: Any = cnn_lm(target)
    batch, states_BS1C = taught(target, drafter)
    x = drafter.embedding(batch.tokens_BT[:, :-1])
    for norm, convolution in zip(drafter.stack.norms, drafter.stack.convolutions, strict=True):
        inner = F.pad(norm(x).transpose(1, 2), (2, 0))
        both = F.conv1d(inner, convolution.weight, convolution.bias)
        x = x + (both[:, :10] * both[:, 10:].sigmoid()).transpose(1, 2)
    assert torch.allclose(states_BS1C[:, :, 0], drafter.stack.norm(x))
    assert drafter.stack.span == 5
    other = batch.tokens_BT.clone()
    other[:, : PLACES - 5] = 3
    again = drafter.states(TrainingBatch(other, batch.trained_BS, None, None, K))
    assert torch.allclose(again[:, -1], states_BS1C[:, -1])
    assert not torch.allclose(again[:, -2], states_BS1C[:, -2])


@pytest.mark.parametrize("family", [cnn, cnn_lm, lstm_lm, mtp])
def test_packed_texts_do_not_read_each_other(family: Any) -> None:
    """Two texts in one row, against each alone."""
    target = random_target()
    drafter: Trainable = family(target)
    start_BS = torch.tensor([[0] * 7 + [7] * 5, [0] * PLACES])
    batch, packed_BSKC = taught(target, drafter, start_BS)
    assert batch.hidden_BSD is not None
    for first, last in ((0, 7), (7, PLACES)):
        alone = drafter.states(
            TrainingBatch(
                batch.tokens_BT[:1, first : last + 1], torch.ones(1, last - first).bool(),
                batch.hidden_BSD[:1, first:last], None, K,
            )
        )  # fmt: skip
        for j in range(alone.shape[2]):
            real = slice(j + 1, None) if alone.shape[2] > 1 else slice(None)
            assert torch.allclose(packed_BSKC[:1, first:last][:, real, j], alone[:, real, j])


def test_what_cannot_be_built_is_told() -> None:
    with pytest.raises(UserError, match="correction=bias"):
        Correction("bias", 3, 24, 24, 16, 16)
