"""What one call of `generate` carries from round to round, and what it records."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from litdraft.decoding.result import Generation
from litdraft.protocols import Cache, Context, Verdict


@dataclass
class LoopState:
    """What one call of `generate` carries from round to round: tensors at fixed addresses."""

    context: Context
    cache: Cache
    drafter: Any  # the drafter's own state
    longest_prompt: int  # in tokens, known on the host


@dataclass
class Log:
    """What every round decided for which prompt; read only at the end, so that no round waits."""

    rows: list[int]  # which prompt each row of the loop continues
    rounds: list[tuple[list[int], Tensor, Tensor]] = field(default_factory=list)
    texts: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        # A CUDA graph's next replay overwrites what this one gave.
        self.rounds.append((self.rows, verdict.count_B.clone(), verdict.drafted_B.clone()))

    def leave(self, context: Context, rows: Iterable[int]) -> None:
        """Record the texts of some rows: up to the cut, and up to what is known."""
        spans = [context.prompt_B.tolist(), context.length_B.tolist(), context.known_B.tolist()]
        for row in rows:
            first, last, known = (span[row] for span in spans)
            text = context.tokens_BT[row, first:known].tolist()
            self.texts[self.rows[row]] = (text[: last - first], text)

    def generation(self, prompts: int, prefill_seconds: float, decode_seconds: float) -> Generation:
        """The result, one entry per prompt."""
        accepted: list[list[int]] = [[] for _ in range(prompts)]
        drafted: list[list[int]] = [[] for _ in range(prompts)]
        for rows, count_B, drafted_B in self.rounds:
            for row, count, tried in zip(rows, count_B.tolist(), drafted_B.tolist(), strict=True):
                if count > 0:
                    accepted[row].append(count - 1)
                    drafted[row].append(tried)
        return Generation(
            tokens=[self.texts[row][0] for row in range(prompts)],
            known=[self.texts[row][1] for row in range(prompts)],
            accepted=accepted,
            drafted=drafted,
            prefill_seconds=prefill_seconds,
            decode_seconds=decode_seconds,
        )
