"""One evaluation job: from a composed config to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from torch import Tensor

from litdraft.config.build import (
    drafter_of,
    dtype_of,
    own_device,
    sampling_of,
    source_of,
    target_opener,
    tokenizer_of,
)
from litdraft.config.runs import load_weights, ready
from litdraft.data.continuations import Writer
from litdraft.data.source import Materials
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.replay import Replay, replay_texts
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.errors import UserError
from litdraft.evaluation import plots, report
from litdraft.evaluation.benchmark import Measurement, measure
from litdraft.evaluation.losslessness import Verdicts, judge, measured_error
from litdraft.evaluation.provenance import provenance
from litdraft.evaluation.stats import Counts, repeated_4grams
from litdraft.evaluation.stream import Stream, closing
from litdraft.models.tokenizer import Tokenizer
from litdraft.native.build import usable
from litdraft.protocols import Drafter, Target
from litdraft.sampling import Sampling


@dataclass
class Bench:
    """Everything an evaluation holds."""

    config: DictConfig
    fabric: Fabric
    target: Target
    reference: Target  # the same weights in float32, for replay and for judging
    drafter: Drafter
    parameters: int  # the drafter's own
    floors: dict[str, Drafter]
    tokenizer: Tokenizer


def evaluate(config: DictConfig, folder: Path) -> float:
    """Measure, judge, report; the speedup. UserError before any work if the input is wrong."""
    fabric = Fabric(accelerator="auto", devices=config.devices)
    fabric.launch()
    bench = _bench(config, fabric)
    if config.prompt is not None:
        return _stream(bench)
    prompts = _prompts(bench)
    mine = range(fabric.global_rank, len(prompts), fabric.world_size)
    sampling = sampling_of(config)
    other = replace(sampling, temperature=1.0 if sampling.greedy else 0.0)
    with Progress(transient=True, disable=fabric.global_rank > 0) as progress:
        work = progress.add_task("decoding", total=2 * -(-len(mine) // config.batch))
        blocks = [
            _block(bench, prompts, mine, some, lambda: progress.advance(work))
            for some in (sampling, other)
        ]
    main, beside = blocks
    told = _told(bench, main, beside, len(prompts))
    if fabric.global_rank == 0:
        report.write(told, folder)
        plots.draw_all(told, main["times"], folder)
        report.show(told, folder)
    return float(told["speedup"]["value"])


def _bench(config: DictConfig, fabric: Fabric) -> Bench:
    opener = target_opener(config, dtype_of(config.dtype), fused=config.fused)
    exact = target_opener(config, torch.float32)
    if opener is None or exact is None:
        raise UserError("target=null was given: an evaluation needs a target")
    target = opener(own_device())
    reference = exact(own_device())
    tokenizer = tokenizer_of(config, target, Path())
    torch.manual_seed(config.seed)
    drafter = drafter_of(config, target.spec, tokenizer)
    untrained = drafter_of(config, target.spec, tokenizer)
    if config.run is not None:
        load_weights(drafter, Path(config.run))
    elif _trainable(drafter) and config.drafter.get("path") is None:
        raise UserError(
            f"{type(drafter).__name__} is untrained: train it with python train.py drafter=... "
            "and evaluate it with run=outputs/..., or choose drafter=lookup"
        )
    floors = {"lookup": Lookup(), "untrained": _fresh(untrained, target)}
    parameters = sum(parameter.numel() for parameter in drafter.parameters())
    for some in (drafter, *floors.values()):
        ready(some, target)
        if config.fused and usable(target.device, target.dtype):
            some.fuse(target.dtype)
    return Bench(config, fabric, target, reference, drafter, parameters, floors, tokenizer)


def _trainable(drafter: Drafter) -> bool:
    return any(True for _ in drafter.parameters())


def _fresh(drafter: Drafter, target: Target) -> Drafter:
    """The family as it was before training; an LSTM head where there is nothing to train."""
    if not _trainable(drafter):
        return LSTM(target.spec)
    for module in drafter.modules():
        reset = getattr(module, "reset_parameters", None)
        if reset is not None:
            reset()
    return drafter


def _prompts(bench: Bench) -> list[list[int]]:
    config = bench.config
    writer = Writer(bench.target, Path(config.data.cache), config.seed)
    materials = Materials(bench.tokenizer, bench.target, writer)
    if bench.fabric.global_rank > 0:
        bench.fabric.barrier()  # the first process writes what the others read
    prompts = source_of(config).held_out(materials, "test", config.prompts).prompts()
    if bench.fabric.global_rank == 0:
        bench.fabric.barrier()
    return prompts


def _stream(bench: Bench) -> float:
    """Print one continuation as it comes, then what it cost."""
    config, console = bench.config, Console(highlight=False, soft_wrap=True)
    prompt = bench.tokenizer.encode(config.prompt)
    sampling = sampling_of(config)
    loop = Speculate(bench.target, bench.drafter, config.k, sampling, config.seed)
    plain = Autoregress(bench.target, sampling, config.seed)
    for warm in (loop, plain):
        warm.generate([prompt], min(8, config.max_new_tokens))
    drafted = loop.generate([prompt], config.max_new_tokens, watch=Stream(bench.tokenizer, console))
    alone = plain.generate([prompt], config.max_new_tokens)
    console.print(f"\n\n[dim]{closing(alone, drafted)}[/]")
    return float(alone.decode_seconds / max(drafted.decode_seconds, 1e-9))


def _block(
    bench: Bench,
    prompts: Sequence[Sequence[int]],
    mine: range,
    sampling: Sampling,
    advance: Any,
) -> dict[str, Any]:
    """Everything measured under one sampling, summed over processes."""
    config, k = bench.config, bench.config.k
    some = [prompts[row] for row in mine]
    measurement = measure(
        Autoregress(bench.target, sampling, config.seed),
        Speculate(bench.target, bench.drafter, k, sampling, config.seed),
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
        tolerance = 2 * _error(bench, some, texts)
        verdicts = judge(bench.reference, some, measurement.drafted.tokens, texts, tolerance)
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
    }


def _error(bench: Bench, prompts: list[Sequence[int]], texts: list[list[int]]) -> float:
    """The largest error over a few texts."""
    some = list(zip(prompts, texts, strict=True))[:4]
    return max(
        measured_error(bench.reference, bench.target, prompt, text, bench.config.k)
        for prompt, text in some
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
    bench: Bench, main: dict[str, Any], beside: dict[str, Any], prompts: int
) -> dict[str, Any]:
    config = bench.config
    greedy = main if main["greedy"] else beside
    return {
        **_acceptance(main),
        **report.speed(main["times"]),
        "k": config.k,
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
        "fused": config.fused and usable(bench.target.device, bench.target.dtype),
        "compile": config.compile,
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
