"""Everything that is measured under one sampling, summed over processes and kept by category."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass
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
from litdraft.evaluation.benchmark import Measurement, Side, measure, total
from litdraft.evaluation.compile_choice import faster
from litdraft.evaluation.losslessness import Verdicts, judge, measured_error, verifies
from litdraft.evaluation.setup import Setup
from litdraft.reports.schema import Compiled, Timing
from litdraft.sampling import Sampling

Prompts = Sequence[Sequence[int]]
Sums = dict[str, Tensor]  # float64, to be added over groups and processes


@dataclass(frozen=True)
class Tally:
    """What some prompts came to. `replays` holds the drafter and the floors; times_4 the baseline's
    decoding seconds and tokens, then those with the drafter, 0 unless prompts ran one by one;
    quality_2n the sums of `quality`, without and with the drafter."""

    prompts: int
    counts: Counts
    replays: dict[str, Replay]
    repeated_4grams: tuple[int, int]
    times_4: Tensor
    quality_2n: Tensor

    @classmethod
    def of_sums(cls, sums: Sums) -> Tally:
        """From what `_sums` gave, perhaps added up."""
        replays = {
            name.removeprefix("replay "): Replay.of_totals(part)
            for name, part in sums.items()
            if name.startswith("replay ")
        }
        repeated, grams = sums["repeats"].long().tolist()
        return cls(
            int(sums["prompts"]),
            Counts.of_vector(sums["counts"].long()),
            replays,
            (repeated, grams),
            sums["times"],
            sums["quality"],
        )


@dataclass(frozen=True)
class SamplingResult:
    """Everything measured under one sampling, over all processes."""

    sampling: Sampling
    whole: Tally
    groups: dict[str, Tally]
    verdicts: Verdicts
    tolerance: float
    timings: list[Timing]
    compiled: Compiled


@dataclass(frozen=True)
class Share:
    """This process's prompts: `mine` are their numbers among `rows`."""

    rows: Rows
    mine: range

    @property
    def prompts(self) -> list[list[int]]:
        prompts = self.rows.prompts()
        return [prompts[row] for row in self.mine]

    def positions(self, group: str) -> list[int]:
        """Which of this process's prompts belong to a category."""
        groups = self.rows.groups
        return [index for index, row in enumerate(self.mine) if groups[row] == group]


def measure_sampling(
    setup: Setup,
    k: int,
    compiled: bool,
    share: Share,
    sampling: Sampling,
    advance: Callable[[], None],
) -> SamplingResult:
    """Decode, judge and replay this process's prompts, and add up over processes."""
    options, prompts = setup.options, share.prompts
    plain, drafted = _decoders(setup, k, compiled, sampling, prompts[: options.batch])
    verifies(drafted, setup.parts.mode.name)
    measurement = measure(
        plain,
        drafted,
        prompts,
        list(share.mine),
        batch=options.batch,
        max_new_tokens=options.max_new_tokens,
        repeats=options.repeats,
        advance=advance,
    )
    verdicts, tolerance = _judge(setup, k, sampling, prompts, measurement)
    groups = list(dict.fromkeys(share.rows.groups))
    sums = {
        f"{number} {name}": part
        for number, group in enumerate(groups)
        for name, part in _sums(setup, k, sampling, share, measurement, group).items()
    }
    rank = torch.eye(setup.fabric.world_size, dtype=torch.float64)[setup.fabric.global_rank]
    sums["verdicts"] = torch.tensor(astuple(verdicts)).double()
    sums["tolerance"] = rank * tolerance
    sums["times"] = _timings(setup, measurement, len(share.rows.groups))
    sums = _added(setup.fabric, sums)
    parts = [_numbered(sums, number) for number in range(len(groups))]
    whole = {name: torch.stack([part[name] for part in parts]).sum(0) for name in parts[0]}
    return SamplingResult(
        sampling,
        Tally.of_sums(whole),
        {group: Tally.of_sums(part) for group, part in zip(groups, parts, strict=True)},
        Verdicts(*sums["verdicts"].long().tolist()),
        float(sums["tolerance"].max()),
        [_timing(row) for row in sums["times"].tolist() if row[1] > 0],
        Compiled(plain.compiled, drafted.compiled),
    )


def _judge(
    setup: Setup, k: int, sampling: Sampling, prompts: Prompts, measurement: Measurement
) -> tuple[Verdicts, float]:
    """Of greedy texts, and the tolerance that they were judged with."""
    if not sampling.greedy or not prompts:
        return Verdicts(), 0.0
    plain, reference = measurement.baseline.tokens, setup.reference()
    some = list(zip(prompts, plain, strict=True))[:4]
    error = max(measured_error(reference, setup.target, *pair, k) for pair in some)
    return judge(reference, prompts, measurement.drafted.tokens, plain, 2 * error), 2 * error


def _sums(
    setup: Setup, k: int, sampling: Sampling, share: Share, measurement: Measurement, group: str
) -> Sums:
    """Of this process's prompts of one category."""
    chosen, prompts = share.positions(group), share.prompts
    baseline, drafted = measurement.baseline, measurement.drafted
    counts = Counts.of(
        [drafted.accepted[index] for index in chosen],
        [drafted.drafted[index] for index in chosen],
        k,
    )
    timings = measurement.timings() if setup.options.batch == 1 else []
    times = total([timings[index] for index in chosen] if timings else [])
    given = [prompts[index] for index in chosen]
    plain = [baseline.tokens[index] for index in chosen]
    sums = {
        "prompts": torch.tensor(len(chosen)),
        "counts": counts.vector(),
        "repeats": torch.tensor(repeated_4grams([drafted.tokens[index] for index in chosen])),
        "times": torch.tensor(
            [
                times.baseline_decode_seconds,
                times.baseline_tokens,
                times.decode_seconds,
                times.tokens,
            ],
            dtype=torch.float64,
        ),
        "quality": _quality(setup, measurement, share, chosen),
        **{
            f"replay {name}": replay_texts(
                setup.target, drafter, given, plain, k, sampling
            ).totals()
            for name, drafter in {"drafter": setup.drafter, **setup.floors}.items()
        },
    }
    return {name: part.double() for name, part in sums.items()}


def _quality(setup: Setup, measurement: Measurement, share: Share, chosen: Sequence[int]) -> Tensor:
    """sums_2n of the texts without and with the drafter, where there are references."""
    ends = setup.target.spec.eos  # a tokenizer that knows only one would spell out the others
    references = [share.rows.references[row] for row in share.mine]
    judged = {index: text for index in chosen if (text := references[index]) is not None}

    def summed(side: Side) -> Tensor:
        written = ([t for t in side.tokens[index] if t not in ends] for index in judged)
        return quality.sums(list(map(setup.tokenizer.decode, written)), list(judged.values()))

    return torch.stack([summed(measurement.baseline), summed(measurement.drafted)])


def _decoders(
    setup: Setup, k: int, compiled: bool, sampling: Sampling, prompts: Prompts
) -> tuple[Autoregress, Speculate]:
    """The baseline and the loop, each compiled only if that made it faster."""
    ways = (False, True) if compiled else (False,)
    seed, limit = setup.options.seed, setup.options.max_new_tokens
    plain = {way: Autoregress(setup.target, sampling, seed, way) for way in ways}
    loops = {way: Speculate(setup.target, setup.drafter, k, sampling, seed, way) for way in ways}
    chosen = (
        faster(list(plain.values()), prompts, limit).compiled,
        faster(list(loops.values()), prompts, limit).compiled,
    )
    chosen = setup.fabric.broadcast(chosen)  # all processes do what the first one chose
    return plain[chosen[0]], loops[chosen[1]]


def _timings(setup: Setup, measurement: Measurement, prompts: int) -> Tensor:
    """times_n6: this process's rows among everybody's, the others 0, so that a sum gathers them."""
    most = -(-prompts // setup.options.batch)
    times_n6 = torch.zeros(setup.fabric.world_size, most, 6, dtype=torch.float64)
    for row, timing in enumerate(measurement.timings()):
        times_n6[setup.fabric.global_rank, row] = torch.tensor(astuple(timing))
    return times_n6.flatten(0, 1)


def _timing(row: Sequence[float]) -> Timing:
    """A row of `_timings`: tokens are whole numbers again."""
    plain_prefill, plain_decode, plain_tokens, prefill, decode, tokens = row
    return Timing(plain_prefill, plain_decode, int(plain_tokens), prefill, decode, int(tokens))


def _numbered(sums: Sums, number: int) -> Sums:
    """The sums of one category."""
    prefix = f"{number} "
    return {
        name.removeprefix(prefix): part for name, part in sums.items() if name.startswith(prefix)
    }


def _added(fabric: Fabric, sums: Sums) -> Sums:
    if fabric.world_size == 1:
        return sums
    here = {name: value.to(fabric.device) for name, value in sums.items()}
    added: Any = fabric.all_reduce(here, reduce_op="sum")
    return {name: value.cpu() for name, value in added.items()}
