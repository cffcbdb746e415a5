"""Prompt lookup against an obvious slow one."""

from __future__ import annotations

import pytest
import torch

from litdraft.drafters import lookup
from litdraft.drafters.lookup import Lookup
from litdraft.errors import UserError
from litdraft.protocols import TrainingBatch
from litdraft.sampling import Sampling


def slow(row: list[int], k: int, longest: int, shortest: int) -> list[int]:
    """What followed the most recent occurrence of the longest suffix that occurred before."""
    for size in range(longest, shortest - 1, -1):
        suffix = row[-size:]
        for end in range(len(row) - 1, size - 1, -1):
            if len(suffix) == size and row[end - size : end] == suffix:
                return row[end : end + k]
    return []


@pytest.mark.parametrize("longest, shortest", [(3, 1), (2, 2), (4, 2)])
def test_every_row_finds_what_the_slow_one_finds(longest: int, shortest: int) -> None:
    drafter, found = Lookup(longest=longest, shortest=shortest), 0
    tokens_BT = torch.randint(0, 3, (300, 14))
    length_B = torch.randint(1, 15, (300,))
    drafts_BK, valid_BN = drafter.follow(tokens_BT, length_B, 4)
    for row, length in enumerate(length_B.tolist()):
        exact = slow(tokens_BT[row, :length].tolist(), 4, longest, shortest)
        assert valid_BN[row].tolist() == [j < len(exact) for j in range(4)]
        assert drafts_BK[row].tolist() == exact + [0] * (4 - len(exact))
        found += len(exact)
    assert found > 200


def test_likelihood_is_one_where_the_proposal_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup, "STARTS", 7)  # several chunks, the last one short
    drafter, k = Lookup(), 3
    tokens_BT = torch.randint(0, 3, (2, 20))
    batch = TrainingBatch(tokens_BT, torch.ones(2, 19).bool(), None, None, k)
    told_BSK = drafter.likelihood(batch, Sampling())
    for row in range(2):
        text = tokens_BT[row].tolist()
        for s in range(19):
            for j in range(k):
                start = s - 1 - j
                exact = slow(text[: start + 2], k, 3, 1)[j : j + 1] if start >= 0 else []
                assert told_BSK[row, s, j] == float(exact == [text[s + 1]])


def test_bad_lengths_are_told() -> None:
    with pytest.raises(UserError, match="1 <= shortest <= longest"):
        Lookup(longest=1, shortest=2)
