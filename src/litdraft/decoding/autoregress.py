"""Plain decoding, one token a pass: the baseline of every speedup, the reference of every test.

It shares no decoding code with the speculative loop, so that one can check the other, and it gets
the same care: a slow baseline would flatter every drafter.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from litdraft.decoding.batching import rows_to_keep
from litdraft.decoding.compiled import Compiled, keep_addresses
from litdraft.decoding.result import Generation
from litdraft.errors import UserError
from litdraft.protocols import Cache, Target, select
from litdraft.sampling import Sampling, choose, uniforms

# Tokens between two looks at who is done. A look at a GPU is a wait, and a baseline that waits more
# often than the speculative loop (its rounds between two looks) would flatter every speedup.
PATIENCE = {"cpu": 1}


@dataclass
class PlainState:
    """What one call of `generate` carries from step to step, written in place."""

    cache: Cache
    token_B: Tensor  # emitted and unread
    written_BT: Tensor
    count_B: Tensor  # tokens written
    done_B: Tensor
    row_B: Tensor


class Autoregress:
    """The target alone."""

    def __init__(
        self, target: Target, sampling: Sampling, seed: int = 0, compiled: bool = False
    ) -> None:
        self.target, self.sampling, self.seed = target, sampling, seed
        self.ends = torch.tensor(target.spec.eos, dtype=torch.long, device=target.device)
        self.compiled = compiled
        self._step = Compiled(self.step, target.device) if compiled else self.step

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        rows: Sequence[int] | None = None,
    ) -> Generation:
        """Continue prompts; UserError if one is empty or does not fit the target's context."""
        if not all(len(prompt) for prompt in prompts):
            raise UserError("an empty prompt was given: it needs at least one token")
        device, count = self.target.device, len(prompts)
        longest = max(len(prompt) for prompt in prompts)
        lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        padded = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]
        tokens_BP = torch.tensor(padded, device=device)
        none_B = torch.zeros(count, dtype=torch.long, device=device)
        state = PlainState(
            cache=self.target.allocate(count, longest + max_new_tokens),
            token_B=none_B.clone(),
            written_BT=torch.zeros(count, max_new_tokens, dtype=torch.long, device=device),
            count_B=none_B,
            done_B=none_B.bool(),
            row_B=torch.tensor(list(rows if rows is not None else range(count)), device=device),
        )
        started = self._now()
        state.cache.limit_slots(longest)
        hidden_BPD = self.target.forward(tokens_BP, state.cache, prompt_B=lengths_B).hidden_BPD
        state.cache.keep(lengths_B)
        self._write(state, hidden_BPD[torch.arange(count, device=device), lengths_B - 1])
        if self.compiled:
            keep_addresses(state)
        prefilled = self._now()
        texts: dict[int, list[int]] = {}
        order = list(range(count))  # which prompt each row continues
        patience = PATIENCE.get(device.type, 8)
        for step in range(1, max_new_tokens):
            if (step - 1) % patience == 0:
                stay = rows_to_keep(state.done_B.tolist(), few_shapes=self.compiled)
                if stay is not None:
                    self._leave(state, order, texts)
                    select(state, torch.tensor(stay, dtype=torch.long, device=device))
                    order = [order[row] for row in stay]
                if not order:
                    break
            state.cache.limit_slots(longest + step)
            self._step(state)
        finished = self._now()
        self._leave(state, order, texts)
        tokens = [until_end(texts[row], self.target.spec.eos) for row in range(count)]
        return Generation(
            tokens, tokens, prefill_seconds=prefilled - started, decode_seconds=finished - prefilled
        )

    def reset(self) -> None:
        """It never learns."""

    def step(self, state: PlainState) -> None:
        """One token for every row. Nothing here waits for the device."""
        hidden_BPD = self.target.forward(state.token_B[:, None], state.cache).hidden_BPD
        state.cache.keep(torch.ones_like(state.count_B))
        self._write(state, hidden_BPD[:, 0])

    def _write(self, state: PlainState, hidden_BD: Tensor) -> None:
        if self.sampling.greedy:
            token_B = self.target.argmax(hidden_BD)
        else:
            drawn_B = uniforms(self.seed, state.row_B, state.count_B, 1)[:, 0]
            token_B, _ = choose(self.target.unembed(hidden_BD), self.sampling, drawn_B)
        state.token_B.copy_(token_B)
        state.written_BT.scatter_(1, state.count_B[:, None], token_B[:, None])
        state.count_B += 1
        state.done_B |= (token_B[:, None] == self.ends).any(-1)

    def _leave(self, state: PlainState, order: Sequence[int], texts: dict[int, list[int]]) -> None:
        """Write down what every row has so far; rows that go on will write it anew."""
        for row, count in enumerate(state.count_B.tolist()):
            texts[order[row]] = state.written_BT[row, :count].tolist()

    def _now(self) -> float:
        if self.target.device.type == "cuda":
            torch.cuda.synchronize(self.target.device)
        return time.perf_counter()


def until_end(row: list[int], ends: Sequence[int]) -> list[int]:
    """A row up to its first end token, that included."""
    places = (place for place, token in enumerate(row, start=1) if token in ends)
    return row[: next(places, len(row))]
