"""Lossy decoding: drafts that the target would not have written may stay.

The loop is the one of `Speculate`, and so is the round: a drafter proposes, the target reads the
unread token and the drafts in one pass, and adds a token. Only what is kept is decided otherwise.
So tokens that are never verified still enter the target's cache, together with the next one that
it is asked for.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from litdraft.decoding.commit import extend
from litdraft.decoding.speculate import Speculate
from litdraft.decoding.state import Run
from litdraft.protocols import Proposal, TargetOutput, Verdict
from litdraft.sampling import draw


class Skip(Speculate):
    """Lossy: all drafts are kept, and the target is asked for the token behind them alone."""

    lossless = False

    def decide(
        self, run: Run, proposal: Proposal, output: TargetOutput, uniforms_BP: Tensor
    ) -> Verdict:
        return self.ended(run, proposal, output, proposal.drafted_B(), uniforms_BP[:, -1])

    def ended(
        self, run: Run, proposal: Proposal, output: TargetOutput, kept_B: Tensor, uniforms_B: Tensor
    ) -> Verdict:
        """Keep so many drafts, and add a token of the target's."""
        hidden_BPD, width = output.hidden_BPD, output.hidden_BPD.shape[2]
        last_B1D = hidden_BPD.gather(1, kept_B[:, None, None].expand(-1, 1, width))
        if self.sampling.greedy:
            added_B = self.target.argmax(last_B1D)[:, 0]
        else:
            probs_BV = self.sampling.probs(self.target.unembed(last_B1D)[:, 0])
            added_B = draw(probs_BV, uniforms_B)
        verdict = Verdict.of(proposal, kept_B, added_B).unless(run.context.done_B)
        extend(run, verdict)
        return verdict


class Phrase(Skip):
    """Lossy: drafts are kept up to the first to which the target itself, at temperature 1, gives a
    probability under `bound` (Kim et al., "Speculative Decoding with Big Little Decoder", arXiv
    2302.07863, whose rollback threshold is -log of it)."""

    def __init__(self, *parts: Any, bound: float, **more: Any) -> None:
        super().__init__(*parts, **more)
        self.bound = bound

    def decide(
        self, run: Run, proposal: Proposal, output: TargetOutput, uniforms_BP: Tensor
    ) -> Verdict:
        tokens_BK = proposal.tokens_BK
        logits_BKV = self.target.unembed(output.hidden_BPD[:, : tokens_BK.shape[1]]).float()
        probs_BK = logits_BKV.softmax(-1).gather(2, tokens_BK[..., None])[..., 0]
        kept_B = proposal.leading_B(probs_BK >= self.bound)
        return self.ended(run, proposal, output, kept_B, uniforms_BP[:, -1])
