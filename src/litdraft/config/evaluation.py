"""One evaluation job: from a composed config to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from litdraft.config.bench import Bench, open_bench, prompts_of
from litdraft.config.build import sampling_of
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.compiled import Compiled
from litdraft.decoding.replay import Replay, replay_texts
from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.evaluation import plots, report
from litdraft.evaluation.benchmark import Measurement, measure
from litdraft.evaluation.compiling import faster, worth_compiling
from litdraft.evaluation.draft_length import LONGEST, TURNS, best, draft_lengths
from litdraft.evaluation.losslessness import Verdicts, judge, measured_error
from litdraft.evaluation.provenance import provenance
from litdraft.evaluation.stats import Counts, repeated_4grams
from litdraft.evaluation.stream import Stream, closing
from litdraft.sampling import Sampling


def evaluate(config: DictConfig, folder: Path) -> float:
    """Measure, judge, report; the speedup. UserError before any work if the input is wrong."""
    fabric = Fabric(accelerator="auto", devices=config.devices)
    fabric.launch()
    bench, sampling = open_bench(config, fabric), sampling_of(config)
    choice = _choose_k(bench, sampling)
    if config.prompt is not None:
        return _stream(bench, choice.k)
    prompts = prompts_of(bench, "test", config.prompts)
    mine = range(fabric.global_rank, len(prompts), fabric.world_size)
    other = replace(sampling, temperature=1.0 if sampling.greedy else 0.0)
    with Progress(transient=True, disable=fabric.global_rank > 0) as progress:
        compiled = _compiled(bench, choice.k, [prompts[row] for row in mine])
        work = progress.add_task("decoding", total=2 * -(-len(mine) // config.batch))
        blocks = [
            _block(bench, choice.k, compiled, prompts, mine, some, lambda: progress.advance(work))
            for some in (sampling, other)
        ]
    main, beside = blocks
    told = _told(bench, choice, main, beside, len(prompts))
    if fabric.global_rank == 0:
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
    prompts = prompts_of(bench, "validation", 8 * config.batch)
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
    worth = bool(prompts) and worth_compiling(
        Autoregress(bench.target, sampling_of(config), config.seed),
        Speculate(bench.target, bench.drafter, k, sampling_of(config), config.seed),
        prompts[: config.batch],
        config.max_new_tokens,
        calls,
    )
    return bool(bench.fabric.broadcast(worth))


def _stream(bench: Bench, k: int) -> float:
    """Print one continuation as it comes, then what it cost."""
    config, console = bench.config, Console(highlight=False, soft_wrap=True)
    prompt = bench.tokenizer.encode(config.prompt)
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


def _block(
    bench: Bench,
    k: int,
    compiled: bool,
    prompts: Sequence[Sequence[int]],
    mine: range,
    sampling: Sampling,
    advance: Any,
) -> dict[str, Any]:
    """Everything measured under one sampling, summed over processes."""
    config = bench.config
    some = [prompts[row] for row in mine]
    plain, drafted = _decoders(bench, k, compiled, sampling, some[: config.batch])
    measurement = measure(
        plain,
        drafted,
        some,
        list(mine),
        batch=config.batch,
        max_new_tokens=config.max_new_tokens,
        repeats=config.repeats,
        advance=advance,
    )
    texts = measurement.baseline.tokens
    drafters = {"drafter": bench.drafter, **bench.floors}
    replays = {
        name: replay_texts(bench.target, drafter, some, texts, k, sampling).totals()
        for name, drafter in drafters.items()
    }
    tolerance, verdicts = 0.0, Verdicts()
    if sampling.greedy and some:
        tolerance = 2 * _error(bench, k, some, texts)
        verdicts = judge(bench.reference(), some, measurement.drafted.tokens, texts, tolerance)
    sums = {
        **{f"replay {name}": totals for name, totals in replays.items()},
        "counts": measurement.drafted.counts(k).vector().double(),
        "repeats": torch.tensor(repeated_4grams(measurement.drafted.tokens)).double(),
        "verdicts": torch.tensor(
            [verdicts.prompts, verdicts.identical, verdicts.near_ties, verdicts.mismatches]
        ).double(),
        "tolerance": torch.eye(bench.fabric.world_size)[bench.fabric.global_rank] * tolerance,
        "times": _spread(bench, measurement, len(prompts)),
    }
    summed = _summed(bench.fabric, sums)
    times_n6 = summed["times"]
    return {
        "temperature": sampling.temperature,
        "greedy": sampling.greedy,
        "counts": Counts.of_vector(summed["counts"].long()),
        "replays": {name: Replay.of_totals(summed[f"replay {name}"]) for name in drafters},
        "repeats": summed["repeats"].long().tolist(),
        "verdicts": Verdicts(*summed["verdicts"].long().tolist()),
        "tolerance": float(summed["tolerance"].max()),
        "times": times_n6[times_n6[:, 1] > 0],
        "compiled": {"baseline": plain.compiled, "drafted": drafted.compiled},
    }


def _decoders(
    bench: Bench, k: int, compiled: bool, sampling: Sampling, prompts: Sequence[Sequence[int]]
) -> tuple[Autoregress, Speculate]:
    """The baseline and the loop, each compiled only where that made it faster."""
    ways = (False, True) if compiled else (False,)
    seed, limit = bench.config.seed, bench.config.max_new_tokens
    plain = {way: Autoregress(bench.target, sampling, seed, way) for way in ways}
    loops = {way: Speculate(bench.target, bench.drafter, k, sampling, seed, way) for way in ways}
    chosen = (
        faster(list(plain.values()), prompts, limit).compiled,
        faster(list(loops.values()), prompts, limit).compiled,
    )
    chosen = bench.fabric.broadcast(chosen)  # all processes as the first one
    return plain[chosen[0]], loops[chosen[1]]


def _error(bench: Bench, k: int, prompts: list[Sequence[int]], texts: list[list[int]]) -> float:
    """The largest error over a few texts."""
    some = list(zip(prompts, texts, strict=True))[:4]
    return max(
        measured_error(bench.reference(), bench.target, prompt, text, k) for prompt, text in some
    )


def _spread(bench: Bench, measurement: Measurement, prompts: int) -> Tensor:
    """This process's times in its own place of everybody's, so that a sum gathers them."""
    most = -(-prompts // bench.config.batch)
    times_n6 = torch.zeros(bench.fabric.world_size, most, 6, dtype=torch.float64)
    mine = measurement.times()
    times_n6[bench.fabric.global_rank, : len(mine)] = mine
    return times_n6.flatten(0, 1)


def _summed(fabric: Fabric, sums: dict[str, Tensor]) -> dict[str, Tensor]:
    if fabric.world_size == 1:
        return sums
    here = {name: value.to(fabric.device) for name, value in sums.items()}
    summed: Any = fabric.all_reduce(here, reduce_op="sum")
    return {name: value.cpu() for name, value in summed.items()}


def _told(
    bench: Bench, choice: Choice, main: dict[str, Any], beside: dict[str, Any], prompts: int
) -> dict[str, Any]:
    config = bench.config
    greedy = main if main["greedy"] else beside
    return {
        **_acceptance(main),
        **report.speed(main["times"]),
        "k": choice.k,
        "draft_lengths": choice.lengths,
        "top_k": config.top_k,
        "top_p": config.top_p,
        "mode": "lossless",
        "losslessness": report.losslessness(greedy["verdicts"], greedy["tolerance"]),
        "beside": {
            **_acceptance(beside),
            "speedup": report.speed(beside["times"])["speedup"],
        },
        "prompts": prompts,
        "max_new_tokens": config.max_new_tokens,
        "batch": config.batch,
        "devices": config.devices,
        "repeats": config.repeats,
        "target": bench.target.spec.name,
        "drafter": type(bench.drafter).__name__.lower(),
        "parameters": bench.parameters,
        "dtype": str(bench.target.dtype).removeprefix("torch."),
        "fused": bench.target.packed is not None,
        "compile": config.compile,
        "compiled": main["compiled"],
        "compile_seconds": Compiled.seconds,
        "seed": config.seed,
        **provenance(bench.target.device),
    }


def _acceptance(block: dict[str, Any]) -> dict[str, Any]:
    replays = block["replays"]
    return {
        "temperature": block["temperature"],
        **report.acceptance(block["counts"]),
        "predicted_mean_acceptance_length": replays["drafter"].mean_acceptance_length,
        "predicted_survival": replays["drafter"].survival_K.tolist(),
        "repeated_4grams": report.share(*block["repeats"]),
        "floor": {name: replays[name].mean_acceptance_length for name in report.FLOORS},
    }
