"""The cache remembers exactly what was kept."""

from __future__ import annotations

import torch
from tests.fakes import random_target


def test_rolling_back_and_rewriting_equals_reading_afresh() -> None:
    """Ragged rows; every pass reads four tokens and keeps from one to four of them."""
    target = random_target()
    cache = target.allocate(3, 64)
    kept: list[list[int]] = [[], [], []]
    for _ in range(12):
        tokens_BP = torch.randint(0, 24, (3, 4))
        hidden_BPD = target.forward(tokens_BP, cache).hidden_BPD
        for row in range(3):
            whole = torch.tensor([kept[row] + tokens_BP[row].tolist()])
            exact_PD = target.forward(whole).hidden_BPD[0, -4:]
            assert (hidden_BPD[row] - exact_PD).abs().max() < 1e-12
        count_B = torch.randint(1, 5, (3,))
        cache.keep(count_B)
        for row, count in enumerate(count_B.tolist()):
            kept[row] += tokens_BP[row, :count].tolist()
    assert cache.length_B.tolist() == [len(row) for row in kept]
