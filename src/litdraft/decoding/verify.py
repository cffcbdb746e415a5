"""The acceptance rule, once: sampled, greedy and deterministic drafts, chains and trees.

Leviathan et al. (arXiv 2211.17192) and Chen et al. (arXiv 2302.01318): a draft x ~ q is kept with
probability min(1, p(x) / q(x)); at the first rejection one token is drawn from the residual
max(p - q, 0), so that what is emitted is distributed as p. A deterministic draft is q = 1 at x;
greedy decoding is p = 1 at the argmax.

In a tree one token is drawn from the target at each node, and the walk goes on while that token is
a child of the node. Every emitted token is then a draw from p given its true prefix; the tree only
decides whether the next p is already computed.
"""

from __future__ import annotations

import torch
from torch import Tensor

from litdraft.protocols import GreedyTokens, Proposal, Verdict, vocabulary_index
from litdraft.sampling import draw


def verify(proposal: Proposal, target_probs: Tensor | GreedyTokens, uniforms_BP: Tensor) -> Verdict:
    """What of a proposal is accepted, and the token that the target adds (P = N + 1). Pure.

    target_probs_BPV: [:, 0] is the target's distribution after the unread token, [:, i + 1] after
    node i; or the greedy choice there. uniforms_BP: of a chain one for each draft and one for the
    added token; of a tree one for each token of the pass.
    """
    if proposal.parent_BN is not None:
        return _walk(proposal, proposal.parent_BN, target_probs, uniforms_BP)
    tokens_BN = proposal.tokens_BN
    k = tokens_BN.shape[1]
    if isinstance(target_probs, GreedyTokens):  # p is 0 or 1, and the residual all at its one token
        kept_BN = tokens_BN == target_probs.tokens_BP[:, :k]
    else:
        target_BN = target_probs[:, :k].gather(2, tokens_BN[..., None])[..., 0]
        kept_BN = uniforms_BP[:, :k] * _drafter(proposal) < target_BN
    accepted_B, drafted_B = proposal.leading_B(kept_BN), proposal.drafted_B()
    if isinstance(target_probs, GreedyTokens):
        return Verdict(target_probs.tokens_BP, accepted_B + 1, drafted_B)

    stop_B11 = accepted_B[:, None, None]
    weights_BV = target_probs.gather(1, stop_B11.expand(-1, 1, target_probs.shape[2]))[:, 0]
    if k > 0:
        residual_BV = _residual(proposal, weights_BV, accepted_B.clamp_max(k - 1))
        # Rounding can leave a residual without mass, where p and q agree: then p itself.
        rejected_B1 = (accepted_B < drafted_B)[:, None] & (residual_BV.sum(1, keepdim=True) > 0)
        weights_BV = torch.where(rejected_B1, residual_BV, weights_BV)
    return Verdict.of(proposal, accepted_B, draw(weights_BV, uniforms_BP[:, k]))


def _walk(
    proposal: Proposal,
    parent_BN: Tensor,
    target_probs: Tensor | GreedyTokens,
    uniforms_BP: Tensor,
) -> Verdict:
    """From the root along the tokens that the target draws, while they are children."""
    if isinstance(target_probs, GreedyTokens):
        drawn_BP = target_probs.tokens_BP
    else:
        drawn_n = draw(target_probs.flatten(0, 1), uniforms_BP.flatten())
        drawn_BP = drawn_n.view(uniforms_BP.shape)
    tokens_BN, valid_BN = proposal.tokens_BN, proposal.valid_BN
    node_B = torch.full_like(parent_BN[:, 0], -1)  # the unread token
    walking_B, accepted_B = node_B < 0, torch.zeros_like(node_B)
    emitted, path = [], []
    for _ in range(tokens_BN.shape[1] + 1):  # no path is longer than all nodes
        next_B1 = drawn_BP.gather(1, node_B[:, None] + 1)
        emitted.append(next_B1)
        child_BN = (parent_BN == node_B[:, None]) & (tokens_BN == next_B1)
        if valid_BN is not None:
            child_BN &= valid_BN
        walking_B = walking_B & child_BN.any(1)
        node_B = torch.where(walking_B, child_BN.long().argmax(1), node_B)
        accepted_B = accepted_B + walking_B
        path.append(node_B.clamp_min(0))
    return Verdict(
        torch.cat(emitted, 1), accepted_B + 1, proposal.drafted_B(), torch.stack(path[:-1], 1)
    )


def _drafter(proposal: Proposal) -> Tensor | float:
    """Q of each drafted token, drafter_BN."""
    if proposal.probs_BNU is None:
        return 1.0
    index_BN = vocabulary_index(proposal.vocabulary_U, proposal.tokens_BN)
    return proposal.probs_BNU.gather(2, index_BN[..., None])[..., 0]


def _residual(proposal: Proposal, target_BV: Tensor, position_B: Tensor) -> Tensor:
    """max(p - q, 0) at one draft position of each row, not normalized."""
    if proposal.probs_BNU is None:
        token_B1 = proposal.tokens_BN.gather(1, position_B[:, None])
        return target_BV.scatter(1, token_B1, 0.0)
    probs_BNU, vocabulary_U = proposal.probs_BNU, proposal.vocabulary_U
    drafter_BU = probs_BNU.gather(1, position_B[:, None, None].expand(-1, 1, probs_BNU.shape[2]))[
        :, 0
    ]
    if vocabulary_U is None:
        return (target_BV - drafter_BU).clamp_min(0)
    return target_BV.index_add(1, vocabulary_U, -drafter_BU.to(target_BV.dtype)).clamp_min(0)
