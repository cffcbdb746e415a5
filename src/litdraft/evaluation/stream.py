"""Text as it is decoded, accepted tokens in colour."""

from __future__ import annotations

from dataclasses import dataclass, field

from rich.console import Console

from litdraft.decoding.result import Generation
from litdraft.protocols import Context, Verdict
from litdraft.tokenizers.base import Tokenizer

ACCEPTED = "bold green"


@dataclass
class Stream:
    """Prints one row as it grows. The whole text is decoded every time and the difference printed,
    because a single token may lack its space, or hold half a character."""

    tokenizer: Tokenizer
    console: Console
    ids: list[int] = field(default_factory=list)
    shown: str = ""

    def __call__(self, context: Context, verdict: Verdict | None) -> None:
        """For `Speculate.generate(watch=...)`."""
        row = context.tokens_BT[0, : int(context.length_B[0])].tolist()
        if not self.ids:
            self._print(row[: int(context.prompt_B[0])], "dim")
        accepted = 0 if verdict is None else max(int(verdict.count_B[0]) - 1, 0)
        self._print(row[: len(self.ids) + accepted], ACCEPTED)
        self._print(row, "")

    def _print(self, ids: list[int], style: str) -> None:
        self.ids = ids
        text = self.tokenizer.decode(ids)
        whole = text.rstrip("\N{REPLACEMENT CHARACTER}")
        self.console.print(whole[len(self.shown) :], end="", style=style, markup=False)
        self.shown = whole


def summary(plain: Generation, drafted: Generation) -> str:
    """One line: tokens per round and per second."""
    tokens = sum(len(row) - 1 for row in drafted.tokens)
    counts = [count for row in drafted.accepted for count in row]
    pace = tokens / max(drafted.decode_seconds, 1e-9)
    plain_tokens = sum(len(row) - 1 for row in plain.tokens)
    plain_pace = plain_tokens / max(plain.decode_seconds, 1e-9)
    length = 1 + sum(counts) / max(len(counts), 1)
    return (
        f"{tokens} tokens in {len(counts)} rounds: {length:.2f} per round, "
        f"{pace:.0f} tokens per second against {plain_pace:.0f} without the drafter"
    )
