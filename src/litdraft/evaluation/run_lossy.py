"""One lossy evaluation: what skipping verification saves, and what it costs, at several settings.

Lossless decoding of the same prompts stands beside it, timed in the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.progress import Progress

from litdraft.acceptance.counts import repeated_4grams
from litdraft.config.build import other_sampling, sampling_of
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.lossy import Phrase, Skip
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.errors import UserError
from litdraft.evaluation import calibration as gating
from litdraft.evaluation.benchmark import Measurement, measure
from litdraft.evaluation.calibrate import Fit, check, fit, set_stop_rule
from litdraft.evaluation.losslessness import verifies
from litdraft.evaluation.lossy_quality import Judged, judged, likeness
from litdraft.evaluation.setup import Bench, prompts_of
from litdraft.reports import figures, lossy_plots
from litdraft.reports import lossy as lossy_report
from litdraft.sampling import Sampling

TWIN = 0.4  # threshold of the same gate where it is used losslessly
Row = dict[str, Any]


def evaluate(bench: Bench, folder: Path) -> float:
    """Measure and report; the best lossy speedup, 1 where nothing can be skipped. UserError before
    any work if this cannot be measured as asked."""
    check(bench)
    config = bench.config
    if config.devices != 1 or config.k == "auto" or config.prompt is not None:
        raise UserError(
            f"decoding={config.decoding.mode} is lossy and measured on one device, for one k and "
            "for the data's prompts: give devices=1, a number for k, and no prompt"
        )
    asked, prompts = sampling_of(config), prompts_of(bench, "test", config.prompts).prompts()
    told = {
        "mode": "lossy",
        "decoding": config.decoding.mode,
        "losslessness": refused(bench),
        "blocks": [_block(bench, prompts, some) for some in (asked, other_sampling(asked))],
        "k": config.k,
        "prompts": len(prompts),
        **bench.facts(),
    }
    lossy_report.write(told, folder)
    lossy_plots.draw_all(told, folder)
    lossy_report.show(told, folder)
    return lossy_report.best_speedup(told)


def refused(bench: Bench) -> str:
    """What the losslessness check says of this decoding."""
    try:
        verifies(Skip(bench.target, bench.drafter, 1, Sampling()), bench.config.decoding.mode)
    except UserError as error:
        return str(error)
    raise AssertionError("a lossy loop passed for a lossless one")


def _block(bench: Bench, prompts: Sequence[Sequence[int]], sampling: Sampling) -> dict[str, Any]:
    """Everything under one sampling."""
    config, found = bench.config, fit(bench, sampling)
    settings = list(_settings(bench, found, sampling))
    plain = Autoregress(bench.target, sampling, config.seed)
    rows: list[Row] = []
    with Progress(transient=True) as progress:
        measured = sum(loop is not None for _, loop in settings)
        work = progress.add_task("decoding", total=measured * -(-len(prompts) // config.batch))
        own: Judged | None = None
        for setting, loop in settings:
            if loop is None:
                rows.append(setting)
                continue
            measurement = measure(
                plain,
                loop(),
                prompts,
                range(len(prompts)),
                batch=config.batch,
                max_new_tokens=config.max_new_tokens,
                repeats=config.repeats,
                advance=lambda: progress.advance(work),
            )
            texts = measurement.baseline.tokens
            own = own or judged(bench.reference(), prompts, texts, None, sampling)
            rows.append({**setting, **_row(bench, prompts, measurement, own, sampling)})
    drafter: Any = bench.drafter
    heard = gating.hear(bench.target, drafter, prompts, texts, sampling)
    calibration = (found.scale, found.shift)
    return {
        "temperature": sampling.temperature,
        "calibration": {"scale": found.scale, "shift": found.shift},
        "validation": gating.figures(found.heard, *calibration),
        "test": gating.figures(heard, *calibration),
        "above": [
            {"threshold": least, **gating.above(heard, *calibration, least)}
            for least in dict.fromkeys(row["threshold"] for row, _ in settings if row["lossy"])
            if least is not None
        ],
        "curves": gating.curves(heard, *calibration),
        "perplexity": own.perplexity if own else None,
        "repeated_4grams": figures.share(*repeated_4grams(texts)),
        "rows": rows,
    }


def _settings(
    bench: Bench, found: Fit, sampling: Sampling
) -> Iterator[tuple[Row, Callable[[], Speculate] | None]]:
    """What is asked for, then its lossless twins; each with what makes its loop, which is called
    when its turn comes, because the drafter has one gate at a time."""
    config, decoding = bench.config, bench.config.decoding
    parts = (config.k, sampling, config.seed)

    def loop(kind: type[Speculate], threshold: float, **more: float) -> Callable[[], Speculate]:
        def made() -> Speculate:
            set_stop_rule(bench, found, threshold)
            return kind(bench.target, bench.drafter, *parts, **more)  # type: ignore[arg-type]

        return made

    if decoding.mode == "word_completion":
        for wanted in decoding.agreement:
            least = found.threshold(wanted)
            row = {"name": "skip", "lossy": True, "agreement": wanted, "threshold": least}
            yield row, None if least is None else loop(Skip, least)
    else:
        for bound in decoding.bounds:
            row = {"name": "phrase", "lossy": True, "bound": bound, "threshold": decoding.threshold}
            yield row, loop(Phrase, decoding.threshold, bound=bound)
    twin = {"name": "gated", "lossy": False, "threshold": TWIN}
    yield twin, loop(Speculate, TWIN)
    free = {"name": "ungated", "lossy": False, "threshold": 0.0}
    yield free, loop(Speculate, 0.0)
    yield {"name": "lookup", "lossy": False}, lambda: Speculate(bench.target, Lookup(), *parts)


def _row(
    bench: Bench,
    prompts: Sequence[Sequence[int]],
    measurement: Measurement,
    own: Judged,
    sampling: Sampling,
) -> Row:
    plain, drafted = measurement.baseline, measurement.drafted
    found = judged(bench.reference(), prompts, drafted.tokens, drafted.accepted, sampling)
    passes, tokens = sum(map(len, drafted.accepted)), sum(drafted.decoded)
    ends, speed = bench.target.spec.eos, figures.speed(measurement.times())
    texts = (
        [[t for t in text if t not in ends] for text in side.tokens] for side in (drafted, plain)
    )
    return {
        "passes_saved": 1 - passes / max(tokens, 1),
        "tokens_a_pass": tokens / max(passes, 1),
        "kept": found.kept / max(found.tokens, 1),
        "agreement_measured": found.agreement,
        "perplexity": found.perplexity,
        "perplexity_ratio": found.perplexity / own.perplexity,
        **likeness(bench.tokenizer, *texts),
        "repeated_4grams": figures.share(*repeated_4grams(drafted.tokens)),
        **{key: speed[key] for key in ("speedup", "timed_batches")},
    }
