"""One evaluation: decode with and without the drafter, judge, and report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lightning.fabric import Fabric
from rich.progress import Progress

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.compiled import Compiled
from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.evaluation import figures
from litdraft.evaluation.choose_k import Choice, choose_k
from litdraft.evaluation.compile_choice import worth_compiling
from litdraft.evaluation.draft_cost import draft_milliseconds
from litdraft.evaluation.measure import SamplingResult, Share, measure_sampling
from litdraft.evaluation.modes import LosslessMode, SetStopRule
from litdraft.evaluation.options import EvaluationOptions, EvaluationParts
from litdraft.evaluation.setup import Setup, open_setup, prompts_of
from litdraft.reports import report as files
from litdraft.reports.schema import Acceptance, OtherSampling, Report


def evaluate(parts: EvaluationParts, options: EvaluationOptions, folder: Path | None) -> Report:
    """Measure and judge; with a folder, write the report there and show it. UserError before any
    work if something does not fit."""
    if not isinstance(parts.mode, LosslessMode):
        raise UserError(
            f"decoding={parts.mode.name} is lossy: measure it with run_lossy.evaluate_lossy"
        )
    fabric = launched(options)
    setup = open_setup(parts, options, fabric)
    parts.mode.check(setup.drafter)
    set_stop_rule = parts.mode.stop_rule(setup)
    set_stop_rule(options.sampling)
    choice = choose_k(setup)
    rows = prompts_of(setup, "test", options.prompts)
    mine = range(fabric.global_rank, len(rows.prompts()), fabric.world_size)
    share = Share(rows, mine)
    measured = _measured(setup, choice.k, share, set_stop_rule)
    cost = None
    if fabric.global_rank == 0:
        set_stop_rule(options.sampling)
        cost = draft_milliseconds(
            setup.target,
            setup.drafter,
            choice.k,
            rows.prompts()[: options.batch],
            options.max_new_tokens,
            options.sampling,
        )
    report = _report(setup, choice, measured, len(rows.prompts()), cost)
    if folder is not None and fabric.global_rank == 0:
        files.write(report, folder)
        files.show(report, folder)
    return report


Measured = tuple[SamplingResult, Acceptance]


def launched(options: EvaluationOptions) -> Fabric:
    """The processes of an evaluation."""
    fabric = Fabric(accelerator="auto", devices=options.devices)
    fabric.launch()
    return fabric


def _measured(setup: Setup, k: int, share: Share, set_stop_rule: SetStopRule) -> list[Measured]:
    """Everything under both samplings, the main one first."""
    options, prompts = setup.options, share.prompts
    with Progress(transient=True, disable=setup.fabric.global_rank > 0) as progress:
        compiled = _compiled(setup, k, prompts)
        task = progress.add_task("decoding", total=2 * -(-len(prompts) // options.batch))
        measured = []
        for sampling in options.samplings:
            stop_rule = set_stop_rule(sampling)
            result = measure_sampling(
                setup, k, compiled, share, sampling, lambda: progress.advance(task)
            )
            measured.append((result, figures.acceptance(result, stop_rule)))
    return measured


def _compiled(setup: Setup, k: int, prompts: Sequence[Sequence[int]]) -> bool:
    """Whether to try compiling: if not given, where this run is expected to save time by it."""
    options = setup.options
    if options.compile is not None:
        return options.compile
    calls = 2 * options.repeats * len(prompts) / options.batch  # greedy and sampled
    worth = (
        bool(prompts)
        and setup.target.compiles
        and worth_compiling(
            Autoregress(setup.target, options.sampling, options.seed),
            Speculate(setup.target, setup.drafter, k, options.sampling, options.seed),
            prompts[: options.batch],
            options.max_new_tokens,
            calls,
        )
    )
    return bool(setup.fabric.broadcast(worth))


def _report(
    setup: Setup, choice: Choice, measured: list[Measured], prompts: int, cost: float | None
) -> Report:
    (main, acceptance), (other, other_acceptance) = measured
    greedy = main if main.sampling.greedy else other
    compile_choice = setup.options.compile
    return Report(
        **vars(setup.evaluated(choice.k, prompts)),
        **vars(acceptance),
        **vars(figures.speed(main.timings)),
        decoding=setup.parts.mode.name,
        training_seconds=setup.parts.training_seconds,
        draft_milliseconds=cost,
        draft_lengths=choice.lengths,
        losslessness=figures.losslessness(greedy.verdicts, greedy.tolerance),
        other_sampling=OtherSampling(
            **vars(other_acceptance), speedup=figures.speed(other.timings).speedup
        ),
        devices=setup.options.devices,
        compile="auto" if compile_choice is None else str(compile_choice).lower(),
        compiled=main.compiled,
        compile_seconds=Compiled.seconds,
    )
