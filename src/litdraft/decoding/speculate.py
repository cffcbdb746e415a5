"""The loop: propose, read, verify, keep, observe, until every row is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from litdraft.decoding.batching import decode_capacity, narrowed, staying
from litdraft.decoding.commit import settle
from litdraft.decoding.compiled import Compiled, stays
from litdraft.decoding.result import Generation
from litdraft.decoding.state import Log, Run, told
from litdraft.errors import UserError
from litdraft.networks.cache import round_up
from litdraft.protocols import (
    Context,
    Drafter,
    GreedyTokens,
    Observation,
    Proposal,
    Target,
    TargetOutput,
    Verdict,
    select,
)
from litdraft.sampling import Sampling, uniforms

Watch = Callable[[Context, Verdict | None], None]
PATIENCE = {"cpu": 1}  # rounds between two looks at who is done; a look at a GPU is a wait


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
                run.cache.limit_slots(reach)
                verdict = self._round(run)
                log.add(verdict)
                if watch:
                    watch(run.context, verdict)
        finished = self._now()
        log.leave(run.context, range(len(log.rows)))
        return told(log, len(prompts), prefilled - started, finished - prefilled)

    def reset(self) -> None:
        """What its drafter remembers of earlier texts."""
        self.drafter.reset()

    def prefill(self, run: Run) -> None:
        """Read the prompts and emit each row's first token."""
        context, rows_B = run.context, torch.arange(len(run.limit_B), device=run.ends.device)
        tokens_BP = context.tokens_BT[:, : int(context.prompt_B.max())]
        run.cache.limit_slots(tokens_BP.shape[1])
        output = self.target.forward(
            tokens_BP, run.cache, self.drafter.needs.taps, prompt_B=context.prompt_B
        )
        run.cache.keep(context.prompt_B)
        last_B1D = output.hidden_BPD[rows_B, context.prompt_B - 1][:, None]
        nothing = Proposal(tokens_BP[:, :0])
        settle(run, nothing, self._says(last_B1D), self._draw(context, 1))
        none_B = torch.zeros_like(context.prompt_B)
        observation = Observation(
            tokens_BP, none_B, context.prompt_B, output.hidden_BPD, output.taps_BPC
        )
        self.drafter.observe(run.state, observation, context)
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
        output = self.target.forward(tokens_BP, cache, self.drafter.needs.taps)
        start_B = cache.length_B.clone()
        verdict = self.decide(run, proposal, output, drawn_BP)
        kept_B = context.length_B - 1 - start_B  # all but the last, which is emitted and unread
        cache.keep(kept_B)
        observation = Observation(tokens_BP, start_B, kept_B, output.hidden_BPD, output.taps_BPC)
        self.drafter.observe(run.state, observation, context)
        return verdict

    def decide(
        self, run: Run, proposal: Proposal, output: TargetOutput, uniforms_BP: Tensor
    ) -> Verdict:
        """What is kept of a proposal that was read, and the token added; the context is extended.
        Whoever decides otherwise is lossy."""
        return settle(run, proposal, self._says(output.hidden_BPD), uniforms_BP)

    def _says(self, hidden_BPD: Tensor) -> Tensor | GreedyTokens:
        """The target's distributions."""
        if self.sampling.greedy:
            return GreedyTokens(self.target.argmax(hidden_BPD))
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
        capacity = max(len(prompt) for prompt in prompts) + decode_capacity(max_new_tokens, self.k)
        cache = self.target.allocate(count, capacity)
        # Rows that are done go on writing, behind what they know.
        wide = round_up(capacity + self.k + 1)
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
        state = self.drafter.allocate(count, capacity, self.k)
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
