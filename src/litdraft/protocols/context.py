"""What the loop knows of its rows, and what it tells drafters."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass
class Context:
    """What is known of every row. Owned by the loop, which writes it in place; drafters only look.

    tokens_BT holds prompt and emitted tokens, then room; the target has read length_B - 1 of them
    (the last one is emitted and unread). known_B counts what was verified, before the cut at the
    end token or at the limit, so known_B >= length_B.
    """

    tokens_BT: Tensor
    length_B: Tensor
    known_B: Tensor
    prompt_B: Tensor
    done_B: Tensor
    row_B: Tensor
    round_B: Tensor

    def unread_B1(self) -> Tensor:
        """Each row's last token, which the target has not read."""
        return self.tokens_BT.gather(1, self.length_B[:, None] - 1)

    def last_BP(self, count: int) -> Tensor:
        """The last `count` known tokens of each row, oldest first (clamped at the row's start)."""
        steps_P = torch.arange(-count, 0, device=self.length_B.device)
        slots_BP = (self.length_B[:, None] + steps_P).clamp_min(0)
        return self.tokens_BT.gather(1, slots_BP)

    def before_BP(self, count: int) -> tuple[Tensor, Tensor]:
        """The `count` tokens before the unread one, oldest first, and their slots, which are below
        zero where there is none."""
        steps_P = torch.arange(-count - 1, -1, device=self.length_B.device)
        return self.last_BP(count + 1)[:, :-1], self.length_B[:, None] + steps_P


@dataclass(frozen=True)
class Observation:
    """What the target has just read and the loop has kept: a prompt, or a round's accepted path.

    tokens_BP are right-padded; count_B says how many count; they stand at start_B and after.
    hidden_BPD is the target's final hidden state for each of them, taps_BPC what was asked for.
    """

    tokens_BP: Tensor
    start_B: Tensor
    count_B: Tensor
    hidden_BPD: Tensor
    taps_BPC: Tensor | None = None

    def last_hidden_BD(self) -> Tensor:
        """The hidden state of each row's last token: where the next draft starts."""
        rows, _, width = self.hidden_BPD.shape
        last_B = (self.count_B - 1).clamp_min(0)
        return self.hidden_BPD.gather(1, last_B.view(rows, 1, 1).expand(rows, 1, width))[:, 0]


def select(tree: Any, rows_n: Tensor) -> Any:
    """These rows of everything in a state: tensors have rows first, anything else that has rows
    knows how to `select` them in place."""
    if isinstance(tree, Tensor):
        return tree[rows_n]
    if hasattr(tree, "select"):
        tree.select(rows_n)
    elif isinstance(tree, list | tuple):
        return type(tree)(select(part, rows_n) for part in tree)
    elif is_dataclass(tree) and not isinstance(tree, type):
        for part in fields(tree):
            setattr(tree, part.name, select(getattr(tree, part.name), rows_n))
    return tree
