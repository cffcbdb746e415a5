"""Everything that is measured under one sampling, summed over processes and kept by group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from lightning.fabric import Fabric
from torch import Tensor

from litdraft.acceptance.counts import Counts, repeated_4grams
from litdraft.acceptance.replay import Replay, replay_texts
from litdraft.data.rows.rows import Rows
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.evaluation import quality
from litdraft.evaluation.benchmark import Measurement, Side, measure
from litdraft.evaluation.compile_choice import faster
from litdraft.evaluation.losslessness import Verdicts, judge, measured_error, verifies
from litdraft.evaluation.setup import Bench
from litdraft.reports import figures
from litdraft.sampling import Sampling

REPLAYED = ("drafter", *figures.FLOORS)
FIGURES = ("prompts", "counts", "repeats", "times_6", "quality", *REPLAYED)


def block(
    bench: Bench,
    k: int,
    compiled: bool,
    rows: Rows,
    mine: range,
    sampling: Sampling,
    advance: Any,
) -> dict[str, Any]:
    """Everything measured under one sampling, summed over processes."""
    config = bench.config
    prompts, groups, references = rows.prompts(), rows.groups, rows.references
    some = [prompts[row] for row in mine]
    plain, drafted = _decoders(bench, k, compiled, sampling, some[: config.batch])
    verifies(drafted, config.decoding.mode)
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
    tolerance, verdicts = 0.0, Verdicts()
    if sampling.greedy and some:
        tolerance = 2 * _error(bench, k, some, texts)
        verdicts = judge(bench.reference(), some, measurement.drafted.tokens, texts, tolerance)
    sums = {
        **{
            f"{group}\t{name}": part
            for group in dict.fromkeys(groups)
            for name, part in _figures(
                bench,
                k,
                sampling,
                some,
                [references[row] for row in mine],
                measurement,
                [place for place, row in enumerate(mine) if groups[row] == group],
            ).items()
        },
        "verdicts": torch.tensor(
            [verdicts.prompts, verdicts.identical, verdicts.near_ties, verdicts.mismatches]
        ).double(),
        "tolerance": torch.eye(bench.fabric.world_size)[bench.fabric.global_rank] * tolerance,
        "times": _spread(bench, measurement, len(prompts)),
    }
    summed = _summed(bench.fabric, sums)
    times_n6 = summed["times"]
    parts = {group: {name: summed[f"{group}\t{name}"] for name in FIGURES} for group in groups}
    whole = {name: sum(part[name] for part in parts.values()) for name in FIGURES}
    return {
        "temperature": sampling.temperature,
        "greedy": sampling.greedy,
        **_read(whole),
        "groups": {group: _read(part) for group, part in parts.items()},
        "verdicts": Verdicts(*summed["verdicts"].long().tolist()),
        "tolerance": float(summed["tolerance"].max()),
        "times": times_n6[times_n6[:, 1] > 0],
        "compiled": {"baseline": plain.compiled, "drafted": drafted.compiled},
    }


def _figures(
    bench: Bench,
    k: int,
    sampling: Sampling,
    prompts: Sequence[Sequence[int]],
    references: Sequence[str | None],
    measurement: Measurement,
    places: Sequence[int],
) -> dict[str, Tensor]:
    """FIGURES over some of this process's prompts, to be summed."""
    drafted, written = measurement.drafted, measurement.baseline.tokens
    texts = [drafted.tokens[place] for place in places]
    given, plain = [prompts[place] for place in places], [written[place] for place in places]
    alone = bench.config.batch == 1
    times_n6 = measurement.times()[places] if alone and places else torch.zeros(1, 6).double()
    return {
        "prompts": torch.tensor([len(places)]).double(),
        "counts": Counts.of(
            [drafted.accepted[place] for place in places],
            [drafted.drafted[place] for place in places],
            k,
        )
        .vector()
        .double(),
        "repeats": torch.tensor(repeated_4grams(texts)).double(),
        "times_6": times_n6.sum(0),
        "quality": _quality(bench, measurement, references, places),
        **{
            name: replay_texts(bench.target, drafter, given, plain, k, sampling).totals()
            for name, drafter in {"drafter": bench.drafter, **bench.floors}.items()
        },
    }


def _read(part: dict[str, Any]) -> dict[str, Any]:
    """Summed FIGURES as what they are."""
    return {
        "prompts": int(part["prompts"]),
        "counts": Counts.of_vector(part["counts"].long()),
        "replays": {name: Replay.of_totals(part[name]) for name in REPLAYED},
        "repeats": part["repeats"].long().tolist(),
        "times_6": part["times_6"],
        "quality": part["quality"],
    }


def _quality(
    bench: Bench,
    measurement: Measurement,
    references: Sequence[str | None],
    places: Sequence[int],
) -> Tensor:
    """sums_2n of the plain and of the drafted texts, where there are references."""
    ends = bench.target.spec.eos  # a tokenizer that knows but one would spell the others
    judged = {place: text for place in places if (text := references[place]) is not None}

    def summed(side: Side) -> Tensor:
        written = ([token for token in side.tokens[place] if token not in ends] for place in judged)
        return quality.sums(list(map(bench.tokenizer.decode, written)), list(judged.values()))

    return torch.stack([summed(measurement.baseline), summed(measurement.drafted)])


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


def _error(
    bench: Bench, k: int, prompts: Sequence[Sequence[int]], texts: Sequence[Sequence[int]]
) -> float:
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
