"""The acceptance rule, once: sampled, greedy and deterministic drafts are the same rule.

Leviathan et al. (arXiv 2211.17192) and Chen et al. (arXiv 2302.01318): a draft x ~ q is kept with
probability min(1, p(x) / q(x)); at the first rejection one token is drawn from the residual
max(p - q, 0), so that what is emitted is distributed as p. A deterministic draft is q = 1 at x;
greedy decoding is p = 1 at the argmax.
"""

from __future__ import annotations

import torch
from torch import Tensor

from litdraft.protocols import GreedyTokens, Proposal, Verdict, place_in
from litdraft.sampling import draw


def verify(proposal: Proposal, target: Tensor | GreedyTokens, uniforms_BP: Tensor) -> Verdict:
    """What of a proposal is kept, and the token that the target adds (P = K + 1).

    target is target_probs_BPV: [:, j] is the target's distribution where draft j stands, the last
    one where the bonus token will; or the token that it is certain of there. uniforms_BP: one for
    each draft, one for the added token.
    """
    tokens_BK = proposal.tokens_BK
    k = tokens_BK.shape[1]
    if isinstance(target, GreedyTokens):  # p is 0 or 1, and the residual all at its one token
        kept_BK = tokens_BK == target.tokens_BP[:, :k]
    else:
        target_BK = target[:, :k].gather(2, tokens_BK[..., None])[..., 0]
        kept_BK = uniforms_BP[:, :k] * _drafter(proposal) < target_BK
    accepted_B, drafted_B = proposal.leading_B(kept_BK), proposal.drafted_B()
    if isinstance(target, GreedyTokens):
        return Verdict(target.tokens_BP, accepted_B + 1, drafted_B)

    stop_B11 = accepted_B[:, None, None]
    weights_BV = target.gather(1, stop_B11.expand(-1, 1, target.shape[2]))[:, 0]
    if k > 0:
        residual_BV = _residual(proposal, weights_BV, accepted_B.clamp_max(k - 1))
        # Rounding can leave a residual without mass, where p and q agree: then p itself.
        rejected_B1 = (accepted_B < drafted_B)[:, None] & (residual_BV.sum(1, keepdim=True) > 0)
        weights_BV = torch.where(rejected_B1, residual_BV, weights_BV)
    return Verdict.of(proposal, accepted_B, draw(weights_BV, uniforms_BP[:, k]))


def _drafter(proposal: Proposal) -> Tensor | float:
    """Q of each drafted token, drafter_BK."""
    if proposal.probs_BKU is None:
        return 1.0
    place_BK = place_in(proposal.vocabulary_U, proposal.tokens_BK)
    return proposal.probs_BKU.gather(2, place_BK[..., None])[..., 0]


def _residual(proposal: Proposal, target_BV: Tensor, place_B: Tensor) -> Tensor:
    """max(p - q, 0) at one draft position of each row, not normalized."""
    if proposal.probs_BKU is None:
        token_B1 = proposal.tokens_BK.gather(1, place_B[:, None])
        return target_BV.scatter(1, token_B1, 0.0)
    probs_BKU, vocabulary_U = proposal.probs_BKU, proposal.vocabulary_U
    drafter_BU = probs_BKU.gather(1, place_B[:, None, None].expand(-1, 1, probs_BKU.shape[2]))[:, 0]
    if vocabulary_U is None:
        return (target_BV - drafter_BU).clamp_min(0)
    return target_BV.index_add(1, vocabulary_U, -drafter_BU.to(target_BV.dtype)).clamp_min(0)
