"""What is proposed, and what becomes of it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Proposal:
    """A chain of K drafted tokens a row.

    probs_BKU is the distribution that each token was really drawn from; None says that the draft
    is deterministic (one-hots are never materialized). vocabulary_U, ascending, says which tokens
    its columns are, where those are not all. valid_BK, where given, is a prefix mask: a row may
    propose fewer than K tokens, or none.
    """

    tokens_BK: Tensor
    probs_BKU: Tensor | None = None
    valid_BK: Tensor | None = None
    vocabulary_U: Tensor | None = None

    def drafted_B(self) -> Tensor:
        """How many tokens each row proposes."""
        if self.valid_BK is not None:
            return self.valid_BK.sum(1)
        rows, k = self.tokens_BK.shape
        return self.tokens_BK.new_full((rows,), k)

    def leading_B(self, kept_BK: Tensor) -> Tensor:
        """How many of each row's drafts stand before the first that is not kept, or not valid."""
        if self.valid_BK is not None:
            kept_BK = kept_BK & self.valid_BK
        return kept_BK.long().cumprod(1).sum(1)


def place_in(vocabulary_U: Tensor | None, tokens_n: Tensor) -> Tensor:
    """Which column of a draft vocabulary each token is; -1 for a token that it lacks."""
    if vocabulary_U is None:
        return tokens_n
    place_n = torch.searchsorted(vocabulary_U, tokens_n.contiguous()).clamp_max(
        len(vocabulary_U) - 1
    )
    return torch.where(vocabulary_U[place_n] == tokens_n, place_n, -1)


@dataclass(frozen=True)
class Verdict:
    """What verification decided, before any cut.

    tokens_BP (P = K + 1) are the accepted drafts and then the recovered or bonus token;
    count_B = accepted + 1 of them count. That is also how many tokens the cache keeps: the
    formerly unread token and the accepted drafts. In a row that is done, none of them count.
    """

    tokens_BP: Tensor
    count_B: Tensor
    drafted_B: Tensor

    @classmethod
    def of(cls, proposal: Proposal, accepted_B: Tensor, added_B: Tensor) -> Verdict:
        """So many drafts, and the token added behind them."""
        added_B1 = added_B[:, None]
        tokens_BP = torch.cat((proposal.tokens_BK, added_B1), 1)
        tokens_BP = tokens_BP.scatter(1, accepted_B[:, None], added_B1)
        return cls(tokens_BP, accepted_B + 1, proposal.drafted_B())

    def unless(self, done_B: Tensor) -> Verdict:
        """The same, but nothing for rows that are done."""
        return Verdict(self.tokens_BP, self.count_B.masked_fill(done_B, 0), self.drafted_B)


@dataclass(frozen=True)
class GreedyTokens:
    """One-hot distributions, each certain of one token: greedy decoding, never materialized."""

    tokens_BP: Tensor
