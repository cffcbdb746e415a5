"""The loop: propose, read, verify, keep, observe, until every row is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from litdraft.decoding.compiled import Compiled, stays
from litdraft.decoding.generation import Generation
from litdraft.decoding.shapes import narrowed, room_behind, staying
from litdraft.decoding.verify import verify
from litdraft.errors import UserError
from litdraft.models.cache import roomy
from litdraft.native.build import loaded
from litdraft.protocols import (
    Cache,
    Certain,
    Context,
    Drafter,
    Proposal,
    Reading,
    Seen,
    Target,
    Verdict,
    select,
)
from litdraft.sampling import Sampling, uniforms

Watch = Callable[[Context, Verdict | None], None]
PATIENCE = {"cpu": 1}  # rounds between two looks at who is done; a look at a GPU is a wait


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


class Speculate:
    """A drafter in front of a target, k tokens a round."""

    lossless = True

    def __init__(
        self,
        target: Target,
        drafter: Drafter,
        k: int,
        sampling: Sampling,
        seed: int = 0,
        compiled: bool = False,
    ) -> None:
        if k < 1:
            raise UserError(f"k={k} was given: a drafter drafts at least one token")
        drafter.check_length(k)
        self.target, self.drafter = target, drafter
        self.k, self.sampling, self.seed = k, sampling, seed
        self._half = torch.tensor(0.5, dtype=torch.float64, device=target.device)
        self.compiled = compiled
        self._round = Compiled(self.round, target.device) if compiled else self.round

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
        run, log = self._begin(prompts, max_new_tokens, rows), Log(list(range(len(prompts))))
        started = self._now()
        self.prefill(run)
        prefilled = self._now()
        if watch:
            watch(run.context, None)
        patience = PATIENCE.get(self.target.device.type, 8)
        reach = max(map(len, prompts)) + 1
        while self._going(run, log):
            for _ in range(patience):
                reach = min(reach + self.k + 1, run.context.tokens_BT.shape[1])
                run.cache.within(reach)
                verdict = self._round(run)
                log.add(verdict)
                if watch:
                    watch(run.context, verdict)
        finished = self._now()
        log.leave(run.context, range(len(log.rows)))
        return _told(log, len(prompts), prefilled - started, finished - prefilled)

    def forget(self) -> None:
        """What its drafter remembers of earlier texts."""
        self.drafter.forget()

    def prefill(self, run: Run) -> None:
        """Read the prompts and emit each row's first token."""
        context, rows_B = run.context, torch.arange(len(run.limit_B), device=run.ends.device)
        tokens_BP = context.tokens_BT[:, : int(context.prompt_B.max())]
        run.cache.within(tokens_BP.shape[1])
        reading = self.target.read(
            tokens_BP, run.cache, self.drafter.needs.taps, prompt_B=context.prompt_B
        )
        run.cache.keep(context.prompt_B)
        last_B1D = reading.hidden_BPD[rows_B, context.prompt_B - 1][:, None]
        nothing = Proposal(tokens_BP[:, :0])
        settle(run, nothing, self._says(last_B1D), self._draw(context, 1))
        none_B = torch.zeros_like(context.prompt_B)
        seen = Seen(tokens_BP, none_B, context.prompt_B, reading.hidden_BPD, reading.taps_BPC)
        self.drafter.observe(run.state, seen, context)
        if self.compiled:
            stays(run)

    def round(self, run: Run) -> Verdict:
        """One round of every row. Nothing here waits for the device."""
        context, cache, k = run.context, run.cache, self.k
        drawn_Bn = self._draw(context, 2 * k + 1)
        proposal = self.drafter.propose(run.state, context, k, self.sampling, drawn_Bn[:, :k])
        proposal = narrowed(proposal)
        drafts = proposal.tokens_BK.shape[1]
        drawn_BP = torch.cat((drawn_Bn[:, k : k + drafts], drawn_Bn[:, -1:]), 1)
        tokens_BP = torch.cat((context.unread_B1(), proposal.tokens_BK), 1)
        reading = self.target.read(tokens_BP, cache, self.drafter.needs.taps)
        start_B = cache.length_B.clone()
        verdict = self.decide(run, proposal, reading, drawn_BP)
        kept_B = context.length_B - 1 - start_B  # all but the last, which is emitted and unread
        cache.keep(kept_B)
        seen = Seen(tokens_BP, start_B, kept_B, reading.hidden_BPD, reading.taps_BPC)
        self.drafter.observe(run.state, seen, context)
        return verdict

    def decide(
        self, run: Run, proposal: Proposal, reading: Reading, uniforms_BP: Tensor
    ) -> Verdict:
        """What is kept of a proposal that was read, and the token added; the context is extended.
        Whoever decides otherwise is lossy."""
        return settle(run, proposal, self._says(reading.hidden_BPD), uniforms_BP)

    def _says(self, hidden_BPD: Tensor) -> Tensor | Certain:
        """The target's distributions."""
        if self.sampling.greedy:
            return Certain(self.target.best(hidden_BPD))
        return self.sampling.probs(self.target.unembed(hidden_BPD))

    def _draw(self, context: Context, count: int) -> Tensor:
        """This round's uniforms; greedy decoding is the same for all of them."""
        if self.sampling.greedy:
            return self._half.expand(len(context.row_B), count)
        return uniforms(self.seed, context.row_B, context.round_B, count)

    def _begin(
        self, prompts: Sequence[Sequence[int]], max_new_tokens: int, rows: Sequence[int] | None
    ) -> Run:
        device, count = self.target.device, len(prompts)
        prompt_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        # A last round may overshoot: it reads k drafts behind the last token wanted.
        room = max(len(prompt) for prompt in prompts) + room_behind(max_new_tokens, self.k)
        cache = self.target.allocate(count, room)
        # Rows that are done go on writing, behind what they know.
        wide = roomy(room + self.k + 1)
        padded = [[*prompt, *[0] * (wide - len(prompt))] for prompt in prompts]
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
        steps_P = torch.arange(self.k + 1, device=device)
        return Run(context, cache, state, prompt_B + max_new_tokens, ends, steps_P)

    def _going(self, run: Run, log: Log) -> bool:
        """Whether any row goes on; those that are done leave where that pays."""
        stay = staying(run.context.done_B.tolist(), few_shapes=self.compiled)
        if stay:
            log.leave(run.context, set(range(len(log.rows))) - set(stay))
            rows_n = torch.tensor(stay, device=run.ends.device)
            run.context, run.cache, run.state, run.limit_B = (
                select(part, rows_n) for part in (run.context, run.cache, run.state, run.limit_B)
            )
            log.rows = [log.rows[row] for row in stay]
        return stay is None or len(stay) > 0

    def _now(self) -> float:
        if self.target.device.type == "cuda":
            torch.cuda.synchronize(self.target.device)
        return time.perf_counter()


def settle(run: Run, proposal: Proposal, says: Tensor | Certain, uniforms_BP: Tensor) -> Verdict:
    """Verify a proposal and extend the context by what is kept: two acts, or one native call that
    does the same to the bit (`native/loop.cpp`)."""
    answers = says.tokens_BP if isinstance(says, Certain) else says
    floats = [t for t in (proposal.probs_BKU, answers) if t is not None and t.is_floating_point()]
    if loaded(answers) and all(t.dtype == torch.float32 for t in floats):
        c = run.context
        given = torch.ops.litdraft.settle.default(
            proposal.tokens_BK.contiguous(),
            None if proposal.probs_BKU is None else proposal.probs_BKU.contiguous(),
            None if proposal.valid_BK is None else proposal.valid_BK.contiguous(),
            proposal.vocabulary_U, answers.contiguous(), uniforms_BP.double().contiguous(),
            c.tokens_BT, c.length_B, c.known_B, c.done_B, c.round_B, run.limit_B, run.ends,
        )  # fmt: skip
        return Verdict(*given)
    verdict = verify(proposal, says, uniforms_BP).unless(run.context.done_B)
    extend(run, verdict)
    return verdict


def extend(run: Run, verdict: Verdict) -> None:
    """Write a verdict behind every row, and cut it at an end token or the limit.

    What a last round verified beyond the cut stays in the buffer: known_B tells how far.
    """
    context, tokens_BP = run.context, verdict.tokens_BP
    steps_P = run.steps_P[: tokens_BP.shape[1]]
    context.tokens_BT.scatter_(1, context.known_B[:, None] + steps_P, tokens_BP)
    context.known_B += verdict.count_B
    end_BP = (tokens_BP[..., None] == run.ends).any(-1)
    # The first end token is the last one emitted.
    until_BP = torch.where(end_BP, steps_P + 1, len(steps_P) + 1)
    emitted_B = torch.minimum(until_BP.amin(1), verdict.count_B)
    ended_B = until_BP.amin(1) <= verdict.count_B
    torch.minimum(context.length_B + emitted_B, run.limit_B, out=context.length_B)
    context.done_B |= ended_B | (context.length_B >= run.limit_B)
    context.round_B += 1


def _told(log: Log, prompts: int, prefill_seconds: float, decode_seconds: float) -> Generation:
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
