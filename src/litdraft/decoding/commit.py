"""Verifying a proposal and extending the context: two steps, or one native operation."""

from __future__ import annotations

import torch
from torch import Tensor

from litdraft.decoding.verify import verify
from litdraft.native.build import loaded
from litdraft.protocols import Context, GreedyTokens, Proposal, Verdict


def commit(
    context: Context,
    proposal: Proposal,
    target_probs: Tensor | GreedyTokens,
    uniforms_BP: Tensor,
) -> tuple[Verdict, Tensor]:
    """`verify`, then `Context.extend`: the verdict and emitted_B. On a CPU a chain takes one native
    call that gives the same to the bit (`native/loop.cpp`)."""
    if _native(proposal, target_probs):
        return _commit_native(context, proposal, target_probs, uniforms_BP)
    verdict = verify(proposal, target_probs, uniforms_BP).unless(context.done_B)
    return verdict, context.extend(verdict)


def _native(proposal: Proposal, target_probs: Tensor | GreedyTokens) -> bool:
    """Whether the native operation is built and takes these types."""
    if proposal.parent_BN is not None or not loaded(proposal.tokens_BN):
        return False
    drafter_float32 = proposal.probs_BNU is None or proposal.probs_BNU.dtype == torch.float32
    if isinstance(target_probs, GreedyTokens):
        return drafter_float32
    return drafter_float32 and target_probs.dtype == torch.float32


def _commit_native(
    context: Context,
    proposal: Proposal,
    target_probs: Tensor | GreedyTokens,
    uniforms_BP: Tensor,
) -> tuple[Verdict, Tensor]:
    target = target_probs.tokens_BP if isinstance(target_probs, GreedyTokens) else target_probs
    probs_BNU, valid_BN = proposal.probs_BNU, proposal.valid_BN
    *verdict, emitted_B = torch.ops.litdraft.commit.default(
        proposal.tokens_BN.contiguous(),
        None if probs_BNU is None else probs_BNU.contiguous(),
        None if valid_BN is None else valid_BN.contiguous(),
        proposal.vocabulary_U,
        target.contiguous(),
        uniforms_BP.double().contiguous(),
        context.tokens_BT,
        context.length_B,
        context.known_B,
        context.done_B,
        context.round_B,
        context.limit_B,
        context.ends_BE,
    )
    return Verdict(*verdict), emitted_B
