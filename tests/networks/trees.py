"""What every network that reads draft trees must satisfy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from litdraft.protocols import Tree

ROWS = 3
PARENTS: dict[str, list[list[int]]] = {
    "hand-written": [[-1, -1, 1]] * ROWS,  # two children of the root, one grandchild
    "chain": [[-1, 0, 1, 2]] * ROWS,
    "random": [
        [-1, -1, 0, 2, 2, 1, 4, -1],
        [-1, 0, 1, 1, 0, 3, 5, 2],
        [-1, -1, -1, -1, 3, 0, 5, 6],
    ],
}


def path_to(parents: list[int], node: int) -> list[int]:
    """Indices within the pass from the root (0) to a node; node -1 is the root."""
    path: list[int] = []
    while node >= 0:
        path.append(node + 1)
        node = parents[node]
    return [0, *reversed(path)]


def padded(paths: list[list[int]]) -> Tensor:
    width = max(map(len, paths))
    return torch.tensor([[*path, *[0] * (width - len(path))] for path in paths])


@torch.no_grad()
def check_tree(network: Any, prefilled: Callable[[], Any], kind: str, tolerance: float) -> None:
    """Each node has the hidden state and taps of a plain pass over its path; after `keep` of a
    path the cache gives what one gives that read the path plainly.

    `prefilled` makes a cache of ROWS ragged rows. The tolerance is relative to the largest value.
    """

    def assert_close(x: Tensor, y: Tensor) -> None:
        assert (x - y).abs().max() <= tolerance * y.abs().max()

    parents = PARENTS[kind]
    generator = torch.Generator().manual_seed(3)
    tokens_BP = torch.randint(3, 20, (ROWS, len(parents[0]) + 1), generator=generator)
    next_BP = torch.randint(3, 20, (ROWS, 3), generator=generator)
    tree = Tree.of(torch.tensor(parents))
    hidden_BPD, taps_BPC = network.forward(tokens_BP, prefilled(), (0, 1), tree=tree)
    for node in range(-1, len(parents[0])):
        paths = [path_to(parents[row], (node + row) % len(parents[row])) for row in range(ROWS)]
        if node == -1:
            paths[1] = [0]  # of one row nothing but the root is accepted
        index_BP, count_B = padded(paths), torch.tensor([len(path) for path in paths])
        chain_cache, tree_cache = prefilled(), prefilled()
        chain_BPD, chain_taps_BPC = network.forward(
            tokens_BP.gather(1, index_BP), chain_cache, (0, 1)
        )
        for row, path in enumerate(paths):
            assert_close(hidden_BPD[row, path], chain_BPD[row, : len(path)])
            assert_close(taps_BPC[row, path], chain_taps_BPC[row, : len(path)])
        network.forward(tokens_BP, tree_cache, tree=tree)
        tree_cache.keep(count_B, index_BP)
        chain_cache.keep(count_B)
        assert torch.equal(tree_cache.length_B, chain_cache.length_B)
        after_tree, after_chain = (
            network.forward(next_BP, cache)[0] for cache in (tree_cache, chain_cache)
        )
        assert_close(after_tree, after_chain)
