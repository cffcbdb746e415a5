"""What a drafter proposes, and what verification makes of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Proposal:
    """N proposed nodes per row: a chain of drafts (N = K), or a tree of them.

    probs_BNU is the distribution that each token was really drawn from; None means that the draft
    is deterministic (one-hots are never materialized). vocabulary_U, ascending, lists the tokens
    of its columns if those are not all. valid_BN, if given, is a prefix mask: a row may propose
    fewer than N tokens, or none. parent_BN makes it a tree: the index of each node's parent among
    the nodes, -1 for the unread token, parents first; a tree is deterministic. confidence_BN is
    the drafter's own estimate that a node is kept if its parent is.
    """

    tokens_BN: Tensor
    probs_BNU: Tensor | None = None
    valid_BN: Tensor | None = None
    vocabulary_U: Tensor | None = None
    parent_BN: Tensor | None = None
    confidence_BN: Tensor | None = None

    def __post_init__(self) -> None:
        if self.parent_BN is not None and self.probs_BNU is not None:
            raise ValueError("a draft tree is deterministic: give no probs_BNU with parent_BN")

    def drafted_B(self) -> Tensor:
        """How many tokens each row proposes."""
        if self.valid_BN is not None:
            return self.valid_BN.sum(1)
        rows, nodes = self.tokens_BN.shape
        return self.tokens_BN.new_full((rows,), nodes)

    def leading_B(self, kept_BN: Tensor) -> Tensor:
        """How many drafts of each row's chain come before the first that is not kept or not
        valid."""
        if self.valid_BN is not None:
            kept_BN = kept_BN & self.valid_BN
        return kept_BN.long().cumprod(1).sum(1)


def vocabulary_index(vocabulary_U: Tensor | None, tokens_n: Tensor) -> Tensor:
    """Which column of a draft vocabulary each token is; -1 for a token that it lacks."""
    if vocabulary_U is None:
        return tokens_n
    index_n = torch.searchsorted(vocabulary_U, tokens_n.contiguous()).clamp_max(
        len(vocabulary_U) - 1
    )
    return torch.where(vocabulary_U[index_n] == tokens_n, index_n, -1)


@dataclass(frozen=True)
class Verdict:
    """What verification decided, before any cut.

    tokens_BP are the accepted tokens and then the token that the target adds (recovered or bonus);
    the first count_B = accepted + 1 of them count, none of a row that is done. drafted_B is how
    many tokens were proposed. path_BW, for a tree, lists the accepted nodes from the root (indices
    among the nodes; whatever comes after the accepted ones is padding); None for a chain.
    """

    tokens_BP: Tensor
    count_B: Tensor
    drafted_B: Tensor
    path_BW: Tensor | None = None

    @property
    def accepted_B(self) -> Tensor:
        """How many proposed tokens each row accepted."""
        return (self.count_B - 1).clamp_min(0)

    @classmethod
    def of(cls, proposal: Proposal, accepted_B: Tensor, added_B: Tensor) -> Verdict:
        """Accept so many drafts of each row's chain, and add a token after them."""
        added_B1 = added_B[:, None]
        tokens_BP = torch.cat((proposal.tokens_BN, added_B1), 1)
        tokens_BP = tokens_BP.scatter(1, accepted_B[:, None], added_B1)
        return cls(tokens_BP, accepted_B + 1, proposal.drafted_B())

    def unless(self, done_B: Tensor) -> Verdict:
        """The same, but nothing for rows that are done."""
        count_B = self.count_B.masked_fill(done_B, 0)
        return Verdict(self.tokens_BP, count_B, self.drafted_B, self.path_BW)


@dataclass(frozen=True)
class GreedyTokens:
    """The target's choice at each position: one-hot distributions, never materialized."""

    tokens_BP: Tensor
