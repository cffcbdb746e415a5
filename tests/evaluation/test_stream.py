"""Streamed text is the whole text: no space lost, no letter broken."""

from __future__ import annotations

import io

import torch
from rich.console import Console
from rich.text import Text
from tests.fakes import context_of

from litdraft.evaluation.stream import Stream
from litdraft.protocols import Context, Verdict
from litdraft.tokenizers.base import Tokenizer


class Bytes(Tokenizer):
    """One token a byte, so that letters come in halves."""

    size, bos, eos = 256, None, None

    def piece(self, token: int) -> str:
        return f"<{token}>"

    def _encode(self, text: str) -> list[int]:
        return list(text.encode())

    def _decode(self, ids: list[int]) -> str:
        return bytes(ids).decode(errors="replace")


def test_letters_appear_whole_and_accepted_ones_in_colour() -> None:
    text = "né 🙂 fin"
    ids = torch.tensor([list(text.encode())])
    out = io.StringIO()
    stream = Stream(
        Bytes(), Console(file=out, force_terminal=True, color_system="standard", width=80)
    )
    none = torch.zeros(1, dtype=torch.long)

    def context(length: int) -> Context:
        return context_of(ids, torch.tensor([length]), prompt_B=torch.tensor([1]))

    stream(context(2), None)
    for length, count in ((4, 2), (6, 2), (9, 3), (ids.shape[1], ids.shape[1] - 9)):
        verdict = Verdict(ids, torch.tensor([count]), none)
        stream(context(length), verdict)
    printed = out.getvalue()
    assert "\N{REPLACEMENT CHARACTER}" not in printed
    assert Text.from_ansi(printed).plain == text
    assert "\x1b[1;32m" in printed
