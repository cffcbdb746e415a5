"""The classic off-by-one: draft position j predicts x_{t+1+j}, and learns nothing elsewhere."""

from __future__ import annotations

import pytest
import torch
from tests.fakes import random_target
from torch import Tensor

from litdraft.drafters.mtp import MTP
from litdraft.losses.objective import Objective
from litdraft.protocols import TrainingBatch

K, SIZE, WIDTH = 3, 24, 64


def learned(offset: int) -> Tensor:
    """Accuracy per draft position after learning from labels moved by `offset` places.

    The text is random; hidden state t knows x_{t+2} and the next ones, three of them in blocks of
    features, so that head j can copy its own token and no other.
    """
    torch.manual_seed(0)
    target = random_target(vocabulary=SIZE, width=WIDTH, dtype=torch.float32)
    codes = torch.randn(SIZE, WIDTH // 4)
    texts = torch.randint(SIZE, (64, 20))
    places = texts.shape[1] - 1
    ahead = torch.cat((texts, torch.randint(SIZE, (64, 8))), 1)
    hidden = torch.cat([codes[ahead[:, i : i + places]] for i in range(1, 5)], -1)
    drafter = MTP(target.spec, heads=K, head="own")
    drafter.bind(target)
    batch = TrainingBatch(texts, torch.ones(64, places).bool(), hidden, None, K)
    labels = texts[:, 1:].roll(-offset, 1)
    optimizer = torch.optim.Adam(drafter.parameters(), lr=0.02)
    for _ in range(60):
        optimizer.zero_grad()
        sums = Objective(ce=1.0).sums(
            drafter.states(batch), drafter, None, labels, batch.trained_BS
        )
        sums.loss.backward()
        optimizer.step()
    with torch.no_grad():
        right = Objective(ce=1.0).sums(
            drafter.states(batch), drafter, None, texts[:, 1:], batch.trained_BS
        )
    return right.acceptance_K / right.count_K


def test_a_head_learns_its_own_offset() -> None:
    """Trained one place too early or too late it drafts the wrong token."""
    exact, early, late = learned(0), learned(-1), learned(1)
    assert (exact > 0.9).all()
    assert (early < 0.3).all()
    assert (late < 0.3).all()
    assert float(exact.mean()) == pytest.approx(1.0, abs=0.1)
