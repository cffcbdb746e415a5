"""The loop: propose, read, verify, keep, observe, until every row is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from litdraft.decoding.generation import Generation
from litdraft.decoding.verify import verify
from litdraft.errors import UserError
from litdraft.protocols import Cache, Context, Drafter, Seen, Target, Verdict
from litdraft.sampling import Sampling, choose, uniforms

Watch = Callable[[Context, Verdict | None], None]
PATIENCE = {"cpu": 1}  # rounds between two looks at who is done; a look at a GPU is a wait


@dataclass
class Run:
    """What one call of `generate` carries from round to round."""

    context: Context
    cache: Cache
    state: Any
    limit_B: Tensor
    ends: Tensor
    counts: list[tuple[Tensor, Tensor]] = field(default_factory=list)


class Speculate:
    """A drafter in front of a target, k tokens a round."""

    def __init__(
        self, target: Target, drafter: Drafter, k: int, sampling: Sampling, seed: int = 0
    ) -> None:
        if k < 1:
            raise UserError(f"k={k} was given: a drafter drafts at least one token")
        self.target, self.drafter = target, drafter
        self.k, self.sampling, self.seed = k, sampling, seed

    @torch.inference_mode()
    def generate(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        rows: Sequence[int] | None = None,
        watch: Watch | None = None,
    ) -> Generation:
        """Continue prompts; UserError if one is empty or does not fit the target's context.

        `watch` is called after the prefill (without a verdict) and after every round.
        """
        if not all(len(prompt) for prompt in prompts):
            raise UserError("an empty prompt was given: it needs at least one token")
        run = self._begin(prompts, max_new_tokens, rows)
        started = self._now()
        self.prefill(run)
        prefilled = self._now()
        if watch:
            watch(run.context, None)
        patience = PATIENCE.get(self.target.device.type, 8)
        while not bool(run.context.done_B.all()):
            for _ in range(patience):
                verdict = self.round(run)
                if watch:
                    watch(run.context, verdict)
        return self._told(run, prefilled - started, self._now() - prefilled)

    def prefill(self, run: Run) -> None:
        """Read the prompts and emit each row's first token."""
        context, rows_B = run.context, torch.arange(len(run.limit_B), device=run.ends.device)
        tokens_BP = context.tokens_BT[:, : int(context.prompt_B.max())]
        reading = self.target.read(tokens_BP, run.cache, self.drafter.needs.taps)
        run.cache.keep(context.prompt_B)
        last_BD = reading.hidden_BPD[rows_B, context.prompt_B - 1]
        drawn_B = self._draw(context, 1)[:, 0]
        token_B, _ = choose(self.target.unembed(last_BD), self.sampling, drawn_B)
        one_B = torch.ones_like(token_B)
        extend(run, Verdict(token_B[:, None], one_B, one_B))
        none_B = torch.zeros_like(token_B)
        seen = Seen(tokens_BP, none_B, context.prompt_B, reading.hidden_BPD, reading.taps_BPC)
        self.drafter.observe(run.state, seen, context)

    def round(self, run: Run) -> Verdict:
        """One round of every row. Nothing here waits for the device."""
        context, cache, k = run.context, run.cache, self.k
        drawn_Bn = self._draw(context, 2 * k + 1)
        proposal = self.drafter.propose(run.state, context, k, self.sampling, drawn_Bn[:, :k])
        tokens_BP = torch.cat((context.last_BP(1), proposal.tokens_BK), 1)
        reading = self.target.read(tokens_BP, cache, self.drafter.needs.taps)
        probs_BPV = self.sampling.probs(self.target.unembed(reading.hidden_BPD))
        verdict = verify(proposal, probs_BPV, drawn_Bn[:, k:])

        run.counts.append((verdict.count_B.masked_fill(context.done_B, 0), verdict.drafted_B))
        start_B = cache.length_B.clone()
        extend(run, verdict)
        kept_B = context.length_B - 1 - start_B  # all but the last, which is emitted and unread
        cache.keep(kept_B)
        seen = Seen(tokens_BP, start_B, kept_B, reading.hidden_BPD, reading.taps_BPC)
        self.drafter.observe(run.state, seen, context)
        return verdict

    def _draw(self, context: Context, count: int) -> Tensor:
        """This round's uniforms; greedy decoding is the same for all of them."""
        if self.sampling.greedy:
            return torch.full((len(context.row_B), count), 0.5, device=context.row_B.device)
        return uniforms(self.seed, context.row_B, context.round_B, count)

    def _begin(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, rows: Sequence[int] | None
    ) -> Run:
        device, count = self.target.device, len(prompts)
        prompt_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        # A last round may overshoot: it reads k drafts behind the last token wanted.
        room = max(len(prompt) for prompt in prompts) + max_new_tokens + self.k + 1
        cache = self.target.allocate(count, room)
        padded = [[*prompt, *[0] * (room - len(prompt))] for prompt in prompts]
        context = Context(
            tokens_BT=torch.tensor(padded, device=device),
            length_B=prompt_B.clone(),
            known_B=prompt_B.clone(),
            prompt_B=prompt_B,
            done_B=torch.zeros(count, dtype=torch.bool, device=device),
            row_B=torch.tensor(list(rows if rows is not None else range(count)), device=device),
            round_B=torch.zeros(count, dtype=torch.long, device=device),
        )
        ends = torch.tensor(self.target.spec.eos, dtype=torch.long, device=device)
        state = self.drafter.allocate(count, room, self.k)
        return Run(context, cache, state, prompt_B + max_new_tokens, ends)

    def _told(self, run: Run, prefill_seconds: float, decode_seconds: float) -> Generation:
        context = run.context
        rows = context.tokens_BT.tolist()
        spans = [context.prompt_B.tolist(), context.length_B.tolist(), context.known_B.tolist()]
        counts = [torch.stack(pair, -1).tolist() for pair in run.counts]
        rounds = [[c[row] for c in counts if c[row][0] > 0] for row in range(len(rows))]
        return Generation(
            tokens=[row[p:n] for row, p, n in zip(rows, spans[0], spans[1], strict=True)],
            known=[row[p:n] for row, p, n in zip(rows, spans[0], spans[2], strict=True)],
            accepted=[[kept - 1 for kept, _ in row] for row in rounds],
            drafted=[[drafted for _, drafted in row] for row in rounds],
            prefill_seconds=prefill_seconds,
            decode_seconds=decode_seconds,
        )

    def _now(self) -> float:
        if self.target.device.type == "cuda":
            torch.cuda.synchronize(self.target.device)
        return time.perf_counter()


def extend(run: Run, verdict: Verdict) -> None:
    """Write a verdict behind every row that is not done, and cut it at an end token or the limit.

    What a last round verified beyond the cut stays in the buffer: known_B tells how far.
    """
    context = run.context
    steps_P = torch.arange(verdict.tokens_BP.shape[1], device=run.ends.device)
    slots_BP = context.length_B[:, None] + steps_P
    active_B1 = ~context.done_B[:, None]
    former_BP = context.tokens_BT.gather(1, slots_BP)
    tokens_BP = torch.where(active_B1, verdict.tokens_BP, former_BP)
    context.tokens_BT.scatter_(1, slots_BP, tokens_BP)

    counted_BP = active_B1 & (steps_P < verdict.count_B[:, None])
    end_BP = counted_BP & torch.isin(verdict.tokens_BP, run.ends)
    before_end_BP = end_BP.long().cumsum(1) - end_BP.long() == 0
    known_B = context.length_B + counted_BP.sum(1)
    cut_B = torch.minimum(context.length_B + (counted_BP & before_end_BP).sum(1), run.limit_B)
    context.known_B = torch.where(context.done_B, context.known_B, known_B)
    context.length_B = cut_B
    context.done_B = context.done_B | end_BP.any(1) | (cut_B >= run.limit_B)
    context.round_B = context.round_B + 1
