"""What decoding some prompts gave, whoever decoded them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol


@dataclass
class Generation:
    """One list a prompt.

    tokens: emitted, cut behind the end token or at the limit. known: the same before the cut (a
    last round may verify more than is wanted). accepted and drafted: one number a round; the
    prefill and its token are no round. Seconds are for all prompts of the batch together.
    """

    tokens: list[list[int]]
    known: list[list[int]]
    accepted: list[list[int]] = field(default_factory=list)
    drafted: list[list[int]] = field(default_factory=list)
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0


class Decoder(Protocol):
    """Plain or speculative: evaluation does not care."""

    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        rows: Sequence[int] | None = None,
    ) -> Generation:
        """Continue prompts; `rows` are their numbers in the whole work: keys of the randomness."""

    def reset(self) -> None:
        """Lose what earlier calls taught, so that a measurement can begin."""
