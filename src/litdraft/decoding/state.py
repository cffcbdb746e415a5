"""What one call of `generate` carries from round to round, and what it writes down."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from litdraft.decoding.result import Generation
from litdraft.protocols import Cache, Context, Verdict


@dataclass
class Run:
    """What one call of `generate` carries from round to round: tensors at fixed addresses."""

    context: Context
    cache: Cache
    state: Any
    limit_B: Tensor
    ends: Tensor
    steps_P: Tensor  # 0..k


@dataclass
class Log:
    """What was decided for whom; read only at the end, so that no round waits for it."""

    rows: list[int]  # which prompt each row of the run continues
    rounds: list[tuple[list[int], Tensor, Tensor]] = field(default_factory=list)
    texts: dict[int, tuple[list[int], list[int]]] = field(default_factory=dict)

    def add(self, verdict: Verdict) -> None:
        # A CUDA graph's next replay overwrites what this one gave.
        self.rounds.append((self.rows, verdict.count_B.clone(), verdict.drafted_B.clone()))

    def leave(self, context: Context, rows: Iterable[int]) -> None:
        """Write down the texts of some rows: up to the cut, and as far as they are known."""
        spans = [context.prompt_B.tolist(), context.length_B.tolist(), context.known_B.tolist()]
        for row in rows:
            first, last, known = (span[row] for span in spans)
            text = context.tokens_BT[row, first:known].tolist()
            self.texts[self.rows[row]] = (text[: last - first], text)


def told(log: Log, prompts: int, prefill_seconds: float, decode_seconds: float) -> Generation:
    accepted: list[list[int]] = [[] for _ in range(prompts)]
    drafted: list[list[int]] = [[] for _ in range(prompts)]
    for rows, count_B, drafted_B in log.rounds:
        for row, count, tried in zip(rows, count_B.tolist(), drafted_B.tolist(), strict=True):
            if count > 0:
                accepted[row].append(count - 1)
                drafted[row].append(tried)
    return Generation(
        tokens=[log.texts[row][0] for row in range(prompts)],
        known=[log.texts[row][1] for row in range(prompts)],
        accepted=accepted,
        drafted=drafted,
        prefill_seconds=prefill_seconds,
        decode_seconds=decode_seconds,
    )
