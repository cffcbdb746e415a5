"""The k to draft with: the one that was given, or the fastest on validation prompts."""

from __future__ import annotations

from dataclasses import dataclass

from rich.progress import Progress

from litdraft.errors import UserError
from litdraft.evaluation.draft_length import TURNS, draft_lengths, fastest
from litdraft.evaluation.setup import Setup, prompts_of
from litdraft.limits import LONGEST_DRAFT
from litdraft.reports.schema import DraftLength


@dataclass(frozen=True)
class Choice:
    """The k, and what it was chosen from; nothing if it was given."""

    k: int
    lengths: list[DraftLength]


def choose_k(setup: Setup) -> Choice:
    """Measured by the first process, for all of them."""
    options, fabric = setup.options, setup.fabric
    if options.k is not None:
        return Choice(options.k, [])
    prompts = prompts_of(setup, "validation", 8 * options.batch).prompts()
    lengths = []
    if fabric.global_rank == 0:
        with Progress(transient=True) as progress:
            task = progress.add_task("measuring draft lengths", total=TURNS + 1)
            lengths = draft_lengths(
                setup.target,
                setup.drafter,
                prompts,
                options.max_new_tokens,
                options.sampling,
                batch=options.batch,
                advance=lambda: progress.advance(task),
            )
    chosen: Choice | None = fabric.broadcast(
        Choice(fastest(lengths).k, lengths) if lengths else None
    )
    if chosen is None:
        raise UserError(
            f"k=auto found no whole round in texts of max_new_tokens={options.max_new_tokens}: "
            f"give at least {LONGEST_DRAFT + 2}, or a number for k"
        )
    return chosen
