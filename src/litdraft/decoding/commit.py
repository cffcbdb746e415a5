"""Verifying a proposal, and writing what is kept behind every row."""

from __future__ import annotations

import torch
from torch import Tensor

from litdraft.decoding.state import Run
from litdraft.decoding.verify import verify
from litdraft.native.build import loaded
from litdraft.protocols import GreedyTokens, Proposal, Verdict


def settle(
    run: Run, proposal: Proposal, says: Tensor | GreedyTokens, uniforms_BP: Tensor
) -> Verdict:
    """Verify a proposal and extend the context by what is kept: two acts, or one native call that
    does the same to the bit (`native/loop.cpp`)."""
    answers = says.tokens_BP if isinstance(says, GreedyTokens) else says
    floats = [t for t in (proposal.probs_BKU, answers) if t is not None and t.is_floating_point()]
    if loaded(answers) and all(t.dtype == torch.float32 for t in floats):
        c = run.context
        given = torch.ops.litdraft.settle.default(
            proposal.tokens_BK.contiguous(),
            None if proposal.probs_BKU is None else proposal.probs_BKU.contiguous(),
            None if proposal.valid_BK is None else proposal.valid_BK.contiguous(),
            proposal.vocabulary_U, answers.contiguous(), uniforms_BP.double().contiguous(),
            c.tokens_BT, c.length_B, c.known_B, c.done_B, c.round_B, run.limit_B, run.ends,
        )  # fmt: skip
        return Verdict(*given)
    verdict = verify(proposal, says, uniforms_BP).unless(run.context.done_B)
    extend(run, verdict)
    return verdict


def extend(run: Run, verdict: Verdict) -> None:
    """Write a verdict behind every row, and cut it at an end token or the limit.

    What a last round verified beyond the cut stays in the buffer: known_B tells how far.
    """
    context, tokens_BP = run.context, verdict.tokens_BP
    steps_P = run.steps_P[: tokens_BP.shape[1]]
    context.tokens_BT.scatter_(1, context.known_B[:, None] + steps_P, tokens_BP)
    context.known_B += verdict.count_B
    end_BP = (tokens_BP[..., None] == run.ends).any(-1)
    # The first end token is the last one emitted.
    until_BP = torch.where(end_BP, steps_P + 1, len(steps_P) + 1)
    emitted_B = torch.minimum(until_BP.amin(1), verdict.count_B)
    ended_B = until_BP.amin(1) <= verdict.count_B
    torch.minimum(context.length_B + emitted_B, run.limit_B, out=context.length_B)
    context.done_B |= ended_B | (context.length_B >= run.limit_B)
    context.round_B += 1
