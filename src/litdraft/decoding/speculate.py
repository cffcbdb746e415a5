"""The loop: propose, forward, verify, extend, keep, observe, until every row is done."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from litdraft.decoding.batching import decode_capacity, rows_to_keep, trimmed
from litdraft.decoding.commit import commit
from litdraft.decoding.compiled import Compiled, keep_addresses
from litdraft.decoding.result import Generation
from litdraft.decoding.state import Log, LoopState
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
    Tree,
    Verdict,
    check_length,
    pass_path,
    select,
)
from litdraft.sampling import Sampling, uniforms

Watch = Callable[[Context, Verdict | None], None]
PATIENCE = {"cpu": 1}  # rounds between two looks at who is done; a look at a GPU is a wait


class Speculate:
    """A drafter in front of a target, k proposed tokens per round."""

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
        """UserError if k is below 1 or more than the drafter can propose."""
        if k < 1:
            raise UserError(f"k={k} was given: a drafter drafts at least one token")
        check_length(drafter, k)
        self.target, self.drafter = target, drafter
        self.k, self.sampling, self.seed = k, sampling, seed
        self._half = torch.tensor(0.5, dtype=torch.float64, device=target.device)
        self.compiled = compiled
        self.run_round = Compiled(self.round, target.device) if compiled else self.round

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
        state = self.begin(prompts, max_new_tokens, rows)
        log = Log(list(range(len(prompts))))
        started = self._now()
        self.prefill(state)
        prefilled = self._now()
        if watch:
            watch(state.context, None)
        patience = PATIENCE.get(self.target.device.type, 8)
        reach = max(map(len, prompts)) + 1
        while self._going(state, log):
            for _ in range(patience):
                reach = min(reach + self.k + 1, state.context.tokens_BT.shape[1])
                state.cache.limit_slots(reach)
                verdict = self.run_round(state)
                log.add(verdict)
                if watch:
                    watch(state.context, verdict)
        finished = self._now()
        log.leave(state.context, range(len(log.rows)))
        return log.generation(len(prompts), prefilled - started, finished - prefilled)

    def reset(self) -> None:
        """Forget what the drafter remembers of earlier texts."""
        self.drafter.reset()

    def prefill(self, state: LoopState) -> None:
        """Read the prompts and emit each row's first token."""
        context, drafter = state.context, self.drafter
        rows_B = torch.arange(len(context.row_B), device=context.row_B.device)
        tokens_BP = context.tokens_BT[:, : state.longest_prompt]
        state.cache.limit_slots(tokens_BP.shape[1])
        output = self.target.forward(
            tokens_BP, state.cache, drafter.needs.taps, prompt_B=context.prompt_B
        )
        state.cache.keep(context.prompt_B)
        last_B1D = output.hidden_BPD[rows_B, context.prompt_B - 1][:, None]
        nothing = Proposal(tokens_BP[:, :0])
        commit(context, nothing, self.target_probs(last_B1D), self.draw_uniforms(context, 1))
        none_B = torch.zeros_like(context.prompt_B)
        observation = Observation(
            tokens_BP, none_B, context.prompt_B, output.hidden_BPD, output.taps_BPC
        )
        drafter.observe(state.drafter, observation, context)
        if self.compiled:
            keep_addresses(state)

    def round(self, state: LoopState) -> Verdict:
        """One round of every row. Nothing here waits for the device."""
        context, cache, k = state.context, state.cache, self.k
        drawn_Bn = self.draw_uniforms(context, 2 * k + 1)
        proposal = self.drafter.propose(state.drafter, context, k, self.sampling, drawn_Bn[:, :k])
        proposal = trimmed(proposal)
        drafts = proposal.tokens_BN.shape[1]
        drawn_BP = torch.cat((drawn_Bn[:, k : k + drafts], drawn_Bn[:, -1:]), 1)
        tokens_BP = torch.cat((context.unread_B1(), proposal.tokens_BN), 1)
        tree = None if proposal.parent_BN is None else Tree.of(proposal.parent_BN)
        start_B = cache.length_B.clone()
        output = self.target.forward(tokens_BP, cache, self.drafter.needs.taps, tree=tree)
        verdict, emitted_B = self.accept(context, proposal, output, drawn_BP)
        # All emitted tokens but the last, which is unread, and the one that was unread before.
        cache.keep(emitted_B, None if verdict.path_BW is None else pass_path(verdict.path_BW))
        read = Observation(tokens_BP, start_B, emitted_B, output.hidden_BPD, output.taps_BPC)
        self.drafter.observe(state.drafter, read.along(verdict.path_BW), context)
        return verdict

    def accept(
        self, context: Context, proposal: Proposal, output: TargetOutput, uniforms_BP: Tensor
    ) -> tuple[Verdict, Tensor]:
        """The verdict on a proposal that was read, and emitted_B; the context is extended. Any
        other rule than this one is lossy."""
        return commit(context, proposal, self.target_probs(output.hidden_BPD), uniforms_BP)

    def target_probs(self, hidden_BPD: Tensor) -> Tensor | GreedyTokens:
        if self.sampling.greedy:
            return GreedyTokens(self.target.argmax(hidden_BPD))
        return self.sampling.probs(self.target.unembed(hidden_BPD))

    def draw_uniforms(self, context: Context, count: int) -> Tensor:
        """This round's uniforms; greedy decoding is the same for all of them."""
        if self.sampling.greedy:
            return self._half.expand(len(context.row_B), count)
        return uniforms(self.seed, context.row_B, context.round_B, count)

    def begin(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        rows: Sequence[int] | None = None,
    ) -> LoopState:
        """The state before the prefill; UserError as `generate`."""
        if not all(len(prompt) for prompt in prompts):
            raise UserError("an empty prompt was given: it needs at least one token")
        device, count = self.target.device, len(prompts)
        prompt_B = torch.tensor([len(prompt) for prompt in prompts], device=device)
        # A last round may overshoot: it reads k drafts after the last token wanted.
        capacity = max(map(len, prompts)) + decode_capacity(max_new_tokens, self.k)
        cache = self.target.allocate(count, capacity)
        # Rows that are done go on writing, after what they know.
        wide = round_up(capacity + self.k + 1)
        padded = [[*prompt, *[0] * (wide - len(prompt))] for prompt in prompts]
        ends = torch.tensor(self.target.spec.eos, dtype=torch.long, device=device)
        context = Context(
            tokens_BT=torch.tensor(padded, device=device),
            length_B=prompt_B.clone(),
            known_B=prompt_B.clone(),
            prompt_B=prompt_B,
            limit_B=prompt_B + max_new_tokens,
            ends_BE=ends.repeat(count, 1),
            done_B=torch.zeros(count, dtype=torch.bool, device=device),
            row_B=torch.tensor(list(rows if rows is not None else range(count)), device=device),
            round_B=torch.zeros(count, dtype=torch.long, device=device),
        )
        drafter_state = self.drafter.allocate(count, capacity, self.k)
        return LoopState(context, cache, drafter_state, max(map(len, prompts)))

    def _going(self, state: LoopState, log: Log) -> bool:
        """Whether any row goes on; rows that are done leave once enough of them are."""
        stay = rows_to_keep(state.context.done_B.tolist(), few_shapes=self.compiled)
        if stay:
            log.leave(state.context, set(range(len(log.rows))) - set(stay))
            select(state, torch.tensor(stay, device=state.context.row_B.device))
            log.rows = [log.rows[row] for row in stay]
        return stay is None or len(stay) > 0

    def _now(self) -> float:
        if self.target.device.type == "cuda":
            torch.cuda.synchronize(self.target.device)
        return time.perf_counter()
