"""One evaluation job: from a composed config to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lightning.fabric import Fabric
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress

from litdraft.acceptance.counts import ratio
from litdraft.config.build import other_sampling, sampling_of
from litdraft.data.rows.prompt_layout import prompt_tokens
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.compiled import Compiled
from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.evaluation import run_lossy as lossy
from litdraft.evaluation.calibrate import Gating
from litdraft.evaluation.compile_choice import worth_compiling
from litdraft.evaluation.draft_cost import draft_milliseconds
from litdraft.evaluation.draft_length import LONGEST, TURNS, best, draft_lengths
from litdraft.evaluation.measure import block
from litdraft.evaluation.setup import Bench, open_bench, prompts_of
from litdraft.evaluation.stream import Stream, closing
from litdraft.reports import figures, plots, report
from litdraft.sampling import Sampling

LOSSY = ("word_completion", "phrasing")  # of what decoding= chooses


def evaluate(config: DictConfig, folder: Path) -> float:
    """Measure, judge, report; the speedup. UserError before any work if the input is wrong."""
    fabric = Fabric(accelerator="auto", devices=config.devices)
    fabric.launch()
    bench, sampling = open_bench(config, fabric), sampling_of(config)
    if config.decoding.mode in LOSSY:
        return lossy.evaluate(bench, folder)
    gating = Gating(bench)
    gating.set(sampling)
    choice = _choose_k(bench, sampling)
    if config.prompt is not None:
        return _stream(bench, choice.k)
    rows = prompts_of(bench, "test", config.prompts)
    prompts = rows.prompts()
    mine = range(fabric.global_rank, len(prompts), fabric.world_size)
    with Progress(transient=True, disable=fabric.global_rank > 0) as progress:
        compiled = _compiled(bench, choice.k, [prompts[row] for row in mine])
        work = progress.add_task("decoding", total=2 * -(-len(mine) // config.batch))
        blocks = []
        for some in (sampling, other_sampling(sampling)):
            set_gate = gating.set(some)
            found = block(
                bench, choice.k, compiled, rows, mine, some, lambda: progress.advance(work)
            )
            blocks.append({**found, "gate": set_gate})
    main, beside = blocks
    told = _told(bench, choice, main, beside, len(prompts))
    if fabric.global_rank == 0:
        gating.set(sampling)
        told["draft_milliseconds"] = draft_milliseconds(
            bench.target,
            bench.drafter,
            choice.k,
            prompts[: config.batch],
            config.max_new_tokens,
            sampling,
        )
        report.write(told, folder)
        plots.draw_all(told, main["times"], folder)
        report.show(told, folder)
    return float(told["speedup"]["value"])


@dataclass(frozen=True)
class Choice:
    """The k to draft, and what it was chosen by: nothing where the command line gave it."""

    k: int
    lengths: list[dict[str, Any]]


def _choose_k(bench: Bench, sampling: Sampling) -> Choice:
    """k=auto measures on validation prompts; one process, for all."""
    config = bench.config
    if config.k != "auto":
        return Choice(int(config.k), [])
    prompts = prompts_of(bench, "validation", 8 * config.batch).prompts()
    lengths = []
    if bench.fabric.global_rank == 0:
        with Progress(transient=True) as progress:
            work = progress.add_task("how far to draft", total=TURNS + 1)
            lengths = draft_lengths(
                bench.target,
                bench.drafter,
                prompts,
                config.max_new_tokens,
                sampling,
                batch=config.batch,
                advance=lambda: progress.advance(work),
            )
    mine = Choice(best(lengths).k, [asdict(length) for length in lengths]) if lengths else None
    chosen: Choice | None = bench.fabric.broadcast(mine)
    if chosen is None:
        raise UserError(
            f"k=auto found no whole round in texts of max_new_tokens={config.max_new_tokens}: give "
            f"at least {LONGEST + 2}, or a number for k"
        )
    return chosen


def _compiled(bench: Bench, k: int, prompts: Sequence[Sequence[int]]) -> bool:
    """compile=auto compiles where this very run would win the time back."""
    config, wish = bench.config, str(bench.config.compile).lower()
    if wish != "auto":
        return wish == "true"
    calls = 2 * config.repeats * len(prompts) / config.batch  # greedy and sampled
    worth = (
        bool(prompts)
        and bench.target.compiles
        and worth_compiling(
            Autoregress(bench.target, sampling_of(config), config.seed),
            Speculate(bench.target, bench.drafter, k, sampling_of(config), config.seed),
            prompts[: config.batch],
            config.max_new_tokens,
            calls,
        )
    )
    return bool(bench.fabric.broadcast(worth))


def _stream(bench: Bench, k: int) -> float:
    """Print one continuation as it comes, then what it cost."""
    config, console = bench.config, Console(highlight=False, soft_wrap=True)
    prompt = prompt_tokens(bench.tokenizer, bench.target.spec.encoder_decoder, config.prompt)
    sampling = sampling_of(config)
    loop = Speculate(bench.target, bench.drafter, k, sampling, config.seed)
    plain = Autoregress(bench.target, sampling, config.seed)
    for warm in (loop, plain):
        warm.generate([prompt], min(8, config.max_new_tokens))
    loop.generate([prompt], config.max_new_tokens, watch=Stream(bench.tokenizer, console))
    # Printing takes longer than decoding: what it costs is timed without.
    drafted = loop.generate([prompt], config.max_new_tokens)
    alone = plain.generate([prompt], config.max_new_tokens)
    console.print(f"\n\n[dim]{closing(alone, drafted)}[/]")
    return float(alone.decode_seconds / max(drafted.decode_seconds, 1e-9))


def _told(
    bench: Bench, choice: Choice, main: dict[str, Any], beside: dict[str, Any], prompts: int
) -> dict[str, Any]:
    config = bench.config
    greedy = main if main["greedy"] else beside
    return {
        **_acceptance(main),
        **figures.speed(main["times"]),
        "k": choice.k,
        "draft_lengths": choice.lengths,
        "mode": "lossless",
        "decoding": config.decoding.mode,
        "losslessness": figures.losslessness(greedy["verdicts"], greedy["tolerance"]),
        "beside": {
            **_acceptance(beside),
            "speedup": figures.speed(beside["times"])["speedup"],
        },
        "prompts": prompts,
        "devices": config.devices,
        "compile": config.compile,
        "compiled": main["compiled"],
        "compile_seconds": Compiled.seconds,
        **bench.facts(),
    }


def _acceptance(found: dict[str, Any]) -> dict[str, Any]:
    groups = {name: _group(part) for name, part in found["groups"].items()}
    return {
        "temperature": found["temperature"],
        **({} if found["gate"] is None else {"gate": found["gate"]}),
        **_figures(found),
        "groups": groups if len(groups) > 1 else {},
    }


def _figures(part: dict[str, Any]) -> dict[str, Any]:
    replays = part["replays"]
    return {
        **figures.acceptance(part["counts"]),
        "predicted_mean_acceptance_length": replays["drafter"].mean_acceptance_length,
        "predicted_survival": replays["drafter"].survival_K.tolist(),
        "repeated_4grams": figures.share(*part["repeats"]),
        "floor": {name: replays[name].mean_acceptance_length for name in figures.FLOORS},
        **figures.quality(part["quality"]),
    }


def _group(part: dict[str, Any]) -> dict[str, Any]:
    """A category's figures; its speed where prompts were timed one by one."""
    sums_4 = part["times_6"][[1, 2, 4, 5]]
    speed = float(ratio(sums_4)) if (sums_4 > 0).all() else None
    return {"prompts": part["prompts"], **_figures(part), "speedup": speed}
