"""Suffix decoding: what most often followed the last tokens, in the row and in earlier outputs.

Oliaro et al., "SuffixDecoding" (arXiv 2411.04975), with an index of short n-grams in place of their
suffix tree: a token is taken in at the same cost however long the matches are. All of it is on the
host, so every round waits for the device.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from litdraft.drafters.parts.suffix_index import Memory, Texts
from litdraft.errors import UserError
from litdraft.protocols import Context, Drafter, Observation, Proposal, TargetSpec, TrainingBatch
from litdraft.sampling import Sampling


@dataclass
class Row:
    """One row's text so far, and whether it is over."""

    text: Texts = field(default_factory=Texts)
    done: bool = False


class SuffixState:
    """The rows being decoded, on the host."""

    def __init__(self, rows: int) -> None:
        self.rows = [Row() for _ in range(rows)]

    def select(self, rows_n: Tensor) -> None:
        self.rows = [self.rows[row] for row in rows_n.tolist()]


class Suffix(Drafter):
    """Searches for up to `longest` of the row's last tokens, in its own text and in the outputs of
    the `keep` rows decoded last; the longer match is followed, of two equal ones the row's own.

    With `remember`, what is drafted for a row depends on the rows decoded before it, though never
    on an output of that row itself. The target's text is the same in distribution; sampled tokens
    may be others. `forget` empties the memory.
    """

    def __init__(
        self,
        spec: TargetSpec | None = None,
        longest: int = 16,
        least: float = 0.1,
        remember: bool = True,
        keep: int = 1000,
    ) -> None:
        """`least` ends a draft: the smallest share of places that went its way.

        UserError if `longest` or `keep` is not at least 1, or if `least` is not in 0 to 1.
        """
        super().__init__()
        if longest < 1 or keep < 1 or not 0 <= least <= 1:
            raise UserError(
                f"drafter=suffix was given longest={longest}, keep={keep}, least={least}: longest "
                "and keep must be at least 1, least between 0 and 1"
            )
        self.longest, self.least, self.remember, self.keep = longest, least, remember, keep
        self.reset()

    def reset(self) -> None:
        self.memory, self.replayed = Memory(self.keep), Memory(self.keep)

    def allocate(self, rows: int, capacity: int, k: int) -> SuffixState:
        return SuffixState(rows)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def observe(self, state: SuffixState, observation: Observation, context: Context) -> None:
        """Reads the context alone, up to its cut."""
        facts_4B = torch.stack(
            (context.length_B, context.done_B.long(), context.row_B, context.prompt_B)
        )
        facts_B4: list[list[int]] = facts_4B.T.tolist()
        news = [facts[0] - row.text.end for facts, row in zip(facts_B4, state.rows, strict=True)]
        tokens = context.last_BP(max(news)).tolist()
        for row, (_, done, number, begin), new, last in zip(
            state.rows, facts_B4, news, tokens, strict=True
        ):
            if row.text.end == 0:
                self.memory.drop(number)
            row.text.append(last[len(last) - new :])
            if done and not row.done and self.remember:
                self.memory.remember(number, row.text.last(row.text.end - begin))
            row.done = bool(done)

    @torch.compiler.disable  # type: ignore[untyped-decorator]
    def propose(
        self, state: SuffixState, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        drafts = [[] if row.done else self.drafted(row.text, self.memory, k) for row in state.rows]
        tokens = [draft + [0] * (k - len(draft)) for draft in drafts]
        valid = [[j < len(draft) for j in range(k)] for draft in drafts]
        device = context.tokens_BT.device
        return Proposal(
            torch.tensor(tokens, device=device), valid_BN=torch.tensor(valid, device=device)
        )

    def drafted(self, text: Texts, memory: Texts, k: int) -> list[int]:
        """Up to k tokens behind a text."""
        suffix = text.last(self.longest)
        own, earlier = text.found(suffix), memory.found(suffix)
        source, places = (memory, earlier[1]) if earlier[0] > own[0] else (text, own[1])
        return source.followed(places, k, self.least)

    def likelihood(self, batch: TrainingBatch, sampling: Sampling) -> Tensor:
        """draft_probs_BSK of 0 and 1, with each row's output behind the rows and calls before it
        since `forget`: what greedy decoding drafts that takes one row at a time.

        What lesson.trained_BS marks was put out, what stands before it is the prompt, and what
        stands behind it, padding. Approximate are batches, where rows decoded at once do not know
        each other; rows decoded again, which replace themselves there and are two rows here; and
        places before the output, which stay 0.
        """
        tokens_BT, k = batch.tokens_BT, batch.k
        rows, places = batch.trained_BS.shape
        probs_BSK = torch.zeros(rows, places, k, device=tokens_BT.device)
        for probs_SK, tokens_T, trained_S in zip(
            probs_BSK, tokens_BT, batch.trained_BS, strict=True
        ):
            output = trained_S.nonzero()[:, 0].tolist()
            if output:
                tokens = tokens_T[: output[-1] + 2].tolist()
                right = list(self._right(tokens, output[0] + 1, k))
                if right:
                    s_n, j_n = torch.tensor(right, device=tokens_BT.device).unbind(1)
                    probs_SK[s_n, j_n] = 1.0
        return probs_BSK

    def _right(self, tokens: list[int], begin: int, k: int) -> Iterator[tuple[int, int]]:
        """(s, j) of all right drafts of a text whose output begins at a place."""
        text = Texts()
        text.append(tokens[:begin])
        for s in range(begin, len(tokens)):  # the unread token of a round
            text.append(tokens[s : s + 1])
            behind = tokens[s + 1 : s + 1 + k]
            drafts = self.drafted(text, self.replayed, len(behind))
            yield from ((s + j, j) for j, draft in enumerate(drafts) if draft == behind[j])
        if self.remember:
            self.replayed.remember(self.replayed.end, tokens[begin:])
