"""Prompt lookup: propose what followed the last time these tokens stood here.

Saxena, "Prompt lookup decoding" (2023). Nothing to train, nothing to remember: every acceptance
figure stands beside this one.
"""

from __future__ import annotations

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.protocols import Context, Drafter, Proposal, TargetSpec, TrainingBatch
from litdraft.sampling import Sampling

STARTS = 64  # starts of one text looked up at a time, in `likelihood`


class Lookup(Drafter):
    """The last `longest` tokens are searched for, then fewer, down to `shortest`; of several
    matches the most recent one is followed."""

    def __init__(self, spec: TargetSpec | None = None, longest: int = 3, shortest: int = 1) -> None:
        super().__init__()
        if not 1 <= shortest <= longest:
            raise UserError(
                f"drafter=lookup was given longest={longest}, shortest={shortest}: "
                "it needs 1 <= shortest <= longest"
            )
        self.longest, self.shortest = longest, shortest

    def propose(
        self, state: None, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        tokens_BN, valid_BN = self.follow(context.tokens_BT, context.length_B, k)
        return Proposal(tokens_BN, valid_BN=valid_BN)

    def follow(self, tokens_BT: Tensor, length_B: Tensor, k: int) -> tuple[Tensor, Tensor]:
        """tokens_BN behind the best match, and which of them are known already (valid_BN)."""
        place_T = torch.arange(tokens_BT.shape[1], device=tokens_BT.device)
        matched_BT = self._matched(tokens_BT, length_B)
        # A match ends before the row's last token. Longer is better, then later.
        usable_BT = (matched_BT >= self.shortest) & (place_T < length_B[:, None] - 1)
        score_BT = torch.where(usable_BT, matched_BT * len(place_T) + place_T, -1)
        best_B, end_B = score_BT.max(1)
        slots_BK = end_B[:, None] + 1 + torch.arange(k, device=tokens_BT.device)
        valid_BN = (best_B >= 0)[:, None] & (slots_BK < length_B[:, None])
        found_BK = tokens_BT.gather(1, slots_BK.clamp_max(len(place_T) - 1))
        return torch.where(valid_BN, found_BK, 0), valid_BN

    def _matched(self, tokens_BT: Tensor, length_B: Tensor) -> Tensor:
        """How many of the row's last tokens (at most `longest`) stand at and before each place."""
        matched_BT = torch.zeros_like(tokens_BT)
        still_BT = torch.ones_like(tokens_BT, dtype=torch.bool)
        for back in range(self.longest):
            slot_B1 = (length_B - 1 - back)[:, None]
            same_BT = tokens_BT == tokens_BT.gather(1, slot_B1.clamp_min(0))
            # The token `back` places before each place; nothing stands before the row's start.
            same_BT = torch.cat((torch.zeros_like(same_BT[:, :back]), same_BT), 1)
            same_BT = same_BT[:, : tokens_BT.shape[1]] & (slot_B1 >= 0)
            still_BT = still_BT & same_BT
            matched_BT = matched_BT + still_BT
        return matched_BT

    def likelihood(self, batch: TrainingBatch, sampling: Sampling) -> Tensor:
        """draft_probs_BSK of 0 and 1: looks up at every start what would have been proposed."""
        tokens_BT, k = batch.tokens_BT, batch.k
        rows, places = len(tokens_BT), tokens_BT.shape[1] - 1
        probs_BSK = torch.zeros(rows, places, k, device=tokens_BT.device)
        for row, text_T in enumerate(tokens_BT):
            for starts_n in torch.arange(places, device=text_T.device).split(STARTS):
                texts_nT = text_T.expand(len(starts_n), -1)
                drafted_nK, valid_nK = self.follow(texts_nT, starts_n + 2, k)
                place_nK = starts_n[:, None] + 1 + torch.arange(k, device=text_T.device)
                inside_nK = place_nK < places
                place_nK = place_nK.clamp_max(places - 1)
                right_nK = valid_nK & inside_nK & (drafted_nK == text_T[place_nK + 1])
                for j in range(k):
                    inside_n = inside_nK[:, j]
                    probs_BSK[row, place_nK[inside_n, j], j] = right_nK[inside_n, j].float()
        return probs_BSK
