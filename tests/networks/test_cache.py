"""The cache holds exactly the kept tokens; a Llama reads trees through it."""

from __future__ import annotations

import pytest
import torch
from tests.fakes import random_llama, random_target
from tests.networks.trees import PARENTS, ROWS, check_tree

from litdraft.networks.cache import StaticCache
from litdraft.protocols import Tree


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


@pytest.mark.parametrize("kind", PARENTS)
def test_a_tree_is_read_like_its_paths(kind: str) -> None:
    llama = random_llama(kv_heads=2).double()
    llama.reset_buffers()
    tokens_BP = torch.randint(0, 20, (ROWS, 7), generator=torch.Generator().manual_seed(1))

    def prefilled() -> StaticCache:
        cache = llama.allocate(ROWS, 40)
        llama.forward(tokens_BP, cache)
        cache.keep(torch.tensor([7, 2, 5]))
        cache.limit_slots(30)
        return cache

    check_tree(llama, prefilled, kind, 1e-9)


def test_keeping_a_path_stays_in_place() -> None:
    """Compiled graphs read fixed addresses; other rows and later slots do not change."""
    cache = StaticCache(2, 2, 1, 8, 3, torch.float64, torch.device("cpu"))
    cache.keys_LBTHE.copy_(torch.randn(cache.keys_LBTHE.shape))
    cache.length_B += torch.tensor([1, 3])
    addresses = (
        cache.keys_LBTHE.data_ptr(),
        cache.values_LBTHE.data_ptr(),
        cache.length_B.data_ptr(),
    )
    before = cache.keys_LBTHE.clone()
    cache.keep(torch.tensor([3, 1]), torch.tensor([[0, 2, 3], [0, 0, 0]]))
    assert addresses == (
        cache.keys_LBTHE.data_ptr(), cache.values_LBTHE.data_ptr(), cache.length_B.data_ptr()
    )  # fmt: skip
    assert cache.length_B.tolist() == [4, 4]
    assert torch.equal(cache.keys_LBTHE[:, 0, :4], before[:, 0, [0, 1, 3, 4]])
    assert torch.equal(cache.keys_LBTHE[:, 0, 4:], before[:, 0, 4:])
    assert torch.equal(cache.keys_LBTHE[:, 1, :4], before[:, 1, :4])


def test_positions_and_mask_of_a_tree() -> None:
    cache = StaticCache(1, 2, 1, 64, 3, torch.float64, torch.device("cpu"))
    cache.length_B += torch.tensor([2, 0])
    layout = cache.layout(4, Tree.of(torch.tensor([[-1, -1, 1]] * 2)))
    assert layout.positions_BP.tolist() == [[2, 3, 3, 4], [0, 1, 1, 2]]
    assert layout.slots_BP is not None
    assert layout.slots_BP.tolist() == [[2, 3, 4, 5], [0, 1, 2, 3]]
    visible = [
        [set(row.nonzero()[:, 0].tolist()) for row in mask] for mask in layout.mask_B1PT[:, 0]
    ]
    assert visible[0] == [{0, 1, 2}, {0, 1, 2, 3}, {0, 1, 2, 4}, {0, 1, 2, 4, 5}]
    assert visible[1] == [{0}, {0, 1}, {0, 2}, {0, 2, 3}]
