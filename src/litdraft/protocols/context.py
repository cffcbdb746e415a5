"""What the loop knows about its rows, and what it shows to drafters."""

from __future__ import annotations

from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import torch
from torch import Tensor

from litdraft.protocols.proposal import Verdict


@dataclass
class Context:
    """What is known about every row. Owned by the loop, which writes it in place; drafters only
    read it.

    tokens_BT holds the prompt and the emitted tokens, then free slots; the target has read
    length_B - 1 of them (the last one is emitted and unread). known_B counts what was verified,
    before the cut at an end token or at limit_B, so known_B >= length_B. ends_BE are the end
    tokens, the same in every row.
    """

    tokens_BT: Tensor
    length_B: Tensor
    known_B: Tensor
    prompt_B: Tensor
    limit_B: Tensor
    ends_BE: Tensor
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

    def extend(self, verdict: Verdict) -> Tensor:
        """Write a verdict after every row and cut it at an end token or the limit; emitted_B.

        What a last round verified beyond the cut stays in the buffer: known_B says how much.
        """
        tokens_BP, count_B = verdict.tokens_BP, verdict.count_B
        steps_P = torch.arange(tokens_BP.shape[1], device=tokens_BP.device)
        self.tokens_BT.scatter_(1, self.known_B[:, None] + steps_P, tokens_BP)
        self.known_B += count_B
        end_BP = (tokens_BP[..., None] == self.ends_BE[:, None]).any(-1)
        # The first end token is the last one emitted.
        until_B = torch.where(end_BP, steps_P + 1, len(steps_P) + 1).amin(1)
        before_B = self.length_B.clone()
        length_B = before_B + torch.minimum(until_B, count_B)
        torch.minimum(length_B, self.limit_B, out=self.length_B)
        self.done_B |= (until_B <= count_B) | (self.length_B >= self.limit_B)
        self.round_B += 1
        return self.length_B - before_B


@dataclass(frozen=True)
class Observation:
    """What the target has just read and the loop has kept: a prompt, or a round's accepted path.

    tokens_BP are right-padded; the first count_B count; their slots begin at start_B. hidden_BPD is
    the target's final hidden state at each of them, taps_BPC the features that were asked for.
    """

    tokens_BP: Tensor
    start_B: Tensor
    count_B: Tensor
    hidden_BPD: Tensor
    taps_BPC: Tensor | None = None

    def along(self, path_BW: Tensor | None) -> Observation:
        """What was read of a tree, gathered along its accepted path; a chain is one already."""
        if path_BW is None:
            return self
        index_BP = pass_path(path_BW)

        def gathered(values_BPC: Tensor) -> Tensor:
            return values_BPC.gather(1, index_BP[..., None].expand(-1, -1, values_BPC.shape[2]))

        return Observation(
            self.tokens_BP.gather(1, index_BP),
            self.start_B,
            self.count_B,
            gathered(self.hidden_BPD),
            None if self.taps_BPC is None else gathered(self.taps_BPC),
        )

    def last_hidden_BD(self) -> Tensor:
        """The hidden state of each row's last token: where the next draft starts."""
        rows, _, width = self.hidden_BPD.shape
        last_B = (self.count_B - 1).clamp_min(0)
        return self.hidden_BPD.gather(1, last_B.view(rows, 1, 1).expand(rows, 1, width))[:, 0]


def pass_path(path_BW: Tensor) -> Tensor:
    """path_BP, indices within the pass that read a tree, from accepted nodes: the root first."""
    return torch.cat((torch.zeros_like(path_BW[:, :1]), path_BW + 1), 1)


def select(tree: Any, rows_n: Tensor) -> Any:
    """These rows of everything in a state: tensors have rows first; anything else that has rows
    can `select` them in place."""
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
