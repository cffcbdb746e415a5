"""Lossy decoding: drafts that the target would not have written may stay.

The loop and the round are those of `Speculate`: a drafter proposes, the target reads the unread
token and the drafts in one pass and adds a token. Only the rule of acceptance differs. So tokens
that are never verified still enter the target's cache, together with the next one that it is
asked for.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from litdraft.decoding.speculate import Speculate
from litdraft.protocols import Context, Proposal, TargetOutput, Verdict
from litdraft.sampling import draw


class Skip(Speculate):
    """Lossy: accepts all drafts and asks the target for the next token alone."""

    lossless = False

    def accept(
        self, context: Context, proposal: Proposal, output: TargetOutput, uniforms_BP: Tensor
    ) -> tuple[Verdict, Tensor]:
        return self._add(context, proposal, output, proposal.drafted_B(), uniforms_BP[:, -1])

    def _add(
        self,
        context: Context,
        proposal: Proposal,
        output: TargetOutput,
        accepted_B: Tensor,
        uniforms_B: Tensor,
    ) -> tuple[Verdict, Tensor]:
        """Accept so many drafts and add one of the target's tokens."""
        hidden_BPD, width = output.hidden_BPD, output.hidden_BPD.shape[2]
        last_B1D = hidden_BPD.gather(1, accepted_B[:, None, None].expand(-1, 1, width))
        if self.sampling.greedy:
            added_B = self.target.argmax(last_B1D)[:, 0]
        else:
            probs_BV = self.sampling.probs(self.target.unembed(last_B1D)[:, 0])
            added_B = draw(probs_BV, uniforms_B)
        verdict = Verdict.of(proposal, accepted_B, added_B).unless(context.done_B)
        return verdict, context.extend(verdict)


class Phrase(Skip):
    """Lossy: accepts drafts up to the first to which the target itself, at temperature 1, gives a
    probability under `bound` (Kim et al., "Speculative Decoding with Big Little Decoder", arXiv
    2302.07863, whose rollback threshold is -log of it)."""

    def __init__(self, *parts: Any, bound: float, **more: Any) -> None:
        super().__init__(*parts, **more)
        self.bound = bound

    def accept(
        self, context: Context, proposal: Proposal, output: TargetOutput, uniforms_BP: Tensor
    ) -> tuple[Verdict, Tensor]:
        tokens_BN = proposal.tokens_BN
        logits_BNV = self.target.unembed(output.hidden_BPD[:, : tokens_BN.shape[1]]).float()
        probs_BN = logits_BNV.softmax(-1).gather(2, tokens_BN[..., None])[..., 0]
        accepted_B = proposal.leading_B(probs_BN >= self.bound)
        return self._add(context, proposal, output, accepted_B, uniforms_BP[:, -1])
