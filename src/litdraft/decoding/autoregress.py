"""Plain decoding, one token a pass: the baseline of every speedup, the reference of every test.

It shares no code with the speculative loop, so that one can check the other.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import torch
from torch import Tensor

from litdraft.decoding.generation import Generation
from litdraft.errors import UserError
from litdraft.protocols import Target
from litdraft.sampling import Sampling, choose, uniforms

# Tokens between two looks at who is done. A look at a GPU is a wait, and a baseline that waits more
# often than the speculative loop (its rounds between two looks) would flatter every speedup.
PATIENCE = {"cpu": 1}


class Autoregress:
    """The target alone."""

    def __init__(self, target: Target, sampling: Sampling, seed: int = 0) -> None:
        self.target, self.sampling, self.seed = target, sampling, seed

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
        lengths_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        longest = max(len(prompt) for prompt in prompts)
        cache = self.target.allocate(count, longest + max_new_tokens)
        padded = [[*prompt, *[0] * (longest - len(prompt))] for prompt in prompts]
        tokens_BP = torch.tensor(padded, device=device)
        row_B = torch.tensor(list(rows if rows is not None else range(count)), device=device)
        ends = torch.tensor(self.target.spec.eos, dtype=torch.long, device=device)

        started = self._now()
        hidden_BPD = self.target.read(tokens_BP, cache).hidden_BPD
        cache.keep(lengths_B)
        last_BD = hidden_BPD[torch.arange(count, device=device), lengths_B - 1]
        token_B = self._choose(last_BD, row_B, 0)
        written = [token_B]
        done_B = torch.isin(token_B, ends)
        prefilled = self._now()
        one_B = torch.ones_like(lengths_B)
        patience = PATIENCE.get(device.type, 8)
        for step in range(1, max_new_tokens):
            if (step - 1) % patience == 0 and bool(done_B.all()):
                break
            hidden_BPD = self.target.read(token_B[:, None], cache).hidden_BPD
            cache.keep(one_B)
            token_B = self._choose(hidden_BPD[:, 0], row_B, step)
            written.append(token_B)
            done_B |= torch.isin(token_B, ends)
        finished = self._now()

        known = torch.stack(written, 1).tolist()
        tokens = [until_end(row, self.target.spec.eos) for row in known]
        return Generation(
            tokens, tokens, prefill_seconds=prefilled - started, decode_seconds=finished - prefilled
        )

    def _choose(self, hidden_BD: Tensor, row_B: Tensor, step: int) -> Tensor:
        if self.sampling.greedy:
            return self.target.unembed(hidden_BD).argmax(-1)
        drawn_B = uniforms(self.seed, row_B, torch.full_like(row_B, step), 1)[:, 0]
        return choose(self.target.unembed(hidden_BD), self.sampling, drawn_B)[0]

    def _now(self) -> float:
        if self.target.device.type == "cuda":
            torch.cuda.synchronize(self.target.device)
        return time.perf_counter()


def until_end(row: list[int], ends: Sequence[int]) -> list[int]:
    """A row up to its first end token, that included."""
    places = (place for place, token in enumerate(row, start=1) if token in ends)
    return row[: next(places, len(row))]
