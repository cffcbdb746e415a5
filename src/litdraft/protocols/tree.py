"""How the tokens of one pass depend on each other when they form a draft tree."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Tree:
    """The tokens of one pass as a tree: index 0 is the unread token, the root; the proposed nodes
    follow in topological order (a parent comes before its children).

    depth_BP counts from the root, which has depth 0: a token's position is the row's length plus
    its depth. ancestors_BPP[b, i, j] says whether token i sees token j of the same pass: j is i
    itself or one of its ancestors. Every token sees all the text that the cache holds.
    """

    depth_BP: Tensor
    ancestors_BPP: Tensor

    @classmethod
    def of(cls, parent_BN: Tensor) -> Tree:
        """From each node's parent, an index among the nodes; -1 is the root (P = N + 1)."""
        rows, nodes = parent_BN.shape
        ancestors_BPP = torch.eye(nodes + 1, dtype=torch.bool, device=parent_BN.device)
        ancestors_BPP = ancestors_BPP.repeat(rows, 1, 1)
        row_B = torch.arange(rows, device=parent_BN.device)
        for node in range(nodes):
            ancestors_BPP[:, node + 1] |= ancestors_BPP[row_B, parent_BN[:, node] + 1]
        return cls(ancestors_BPP.sum(2) - 1, ancestors_BPP)
