"""One lossy evaluation: what skipping verification saves, and what it costs, at several settings.

Lossless decoding of the same prompts is timed in the same run, for comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from rich.progress import Progress

from litdraft.acceptance.counts import repeated_4grams
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.errors import UserError
from litdraft.evaluation import calibration_figures, figures
from litdraft.evaluation.benchmark import Measurement, measure
from litdraft.evaluation.calibration import Fit, calibrate, score_positions, set_stop_rule
from litdraft.evaluation.losslessness import verifies
from litdraft.evaluation.lossy_quality import Judged, judged, likeness
from litdraft.evaluation.modes import LossyMode
from litdraft.evaluation.options import EvaluationOptions, EvaluationParts
from litdraft.evaluation.run import launched
from litdraft.evaluation.setup import Setup, open_setup, prompts_of
from litdraft.reports import lossy as files
from litdraft.reports.lossy_schema import LossyBlock, LossyFigures, LossyReport, LossyRow, Platt
from litdraft.sampling import Sampling

GATE = 0.4  # threshold of the lossless setting that stops drafting when unsure
Prompts = Sequence[Sequence[int]]


def evaluate_lossy(
    parts: EvaluationParts, options: EvaluationOptions, folder: Path | None
) -> LossyReport:
    """Measure; with a folder, write the report there and show it. UserError before any work if this
    cannot be measured as asked."""
    mode = parts.mode
    if not isinstance(mode, LossyMode):
        raise UserError(f"decoding={mode.name} is lossless: measure it with run.evaluate")
    if options.devices != 1 or options.k is None:
        raise UserError(
            f"decoding={mode.name} is lossy and measured on one device and for one k: give "
            "devices=1 and a number for k"
        )
    setup = open_setup(parts, options, launched(options), floors=False)
    mode.check(setup.drafter)
    prompts = prompts_of(setup, "test", options.prompts).prompts()
    report = LossyReport(
        **vars(setup.evaluated(options.k, len(prompts))),
        decoding=mode.name,
        losslessness=refusal(setup, mode),
        blocks=[
            _Comparison(setup, mode, options.k, prompts, sampling).block()
            for sampling in options.samplings
        ],
    )
    if folder is not None:
        files.write(report, folder)
        files.show(report, folder)
    return report


def refusal(setup: Setup, mode: LossyMode) -> str:
    """What the losslessness check answers to this decoding."""
    row = LossyRow(name=mode.name, lossy=True)
    loop = mode.loop(setup.target, setup.drafter, 1, Sampling(), 0, row)
    try:
        verifies(loop, mode.name)
    except UserError as error:
        return str(error)
    raise AssertionError("a lossy loop passed for a lossless one")


class _Setting(NamedTuple):
    """A row to measure; `loop` is called when its turn comes, because the drafter has one stop rule
    at a time. None: nothing to measure."""

    row: LossyRow
    loop: Callable[[], Speculate] | None


class _Comparison(NamedTuple):
    """The settings of one sampling."""

    setup: Setup
    mode: LossyMode
    k: int
    prompts: Prompts
    sampling: Sampling

    def block(self) -> LossyBlock:
        setup, sampling = self.setup, self.sampling
        fit = calibrate(setup, sampling, self.mode.validation)
        settings = self._settings(fit)
        rows, texts, alone = self._measure(settings)
        scored = score_positions(setup.target, setup.drafter, self.prompts, texts, sampling)
        thresholds = dict.fromkeys(row.threshold for row in rows if row.lossy)
        return LossyBlock(
            temperature=sampling.temperature,
            calibration=Platt(fit.scale, fit.shift),
            validation=calibration_figures.figures(fit.scored, fit),
            test=calibration_figures.figures(scored, fit),
            above=[
                calibration_figures.above(scored, fit, threshold)
                for threshold in thresholds
                if threshold is not None
            ],
            curves=calibration_figures.curves(scored, fit),
            perplexity=alone.perplexity if alone else None,
            repeated_4grams=figures.share(*repeated_4grams(texts)),
            rows=rows,
        )

    def _settings(self, fit: Fit) -> list[_Setting]:
        """The lossy settings, then the lossless ones."""
        target, drafter, seed = self.setup.target, self.setup.drafter, self.setup.options.seed
        parts = (self.k, self.sampling, seed)

        def stopping(row: LossyRow, make: Callable[[], Speculate]) -> _Setting:
            def loop() -> Speculate:
                set_stop_rule(drafter, fit, row.threshold)
                return make()

            return _Setting(row, None if row.threshold is None else loop)

        lossless = [
            LossyRow(name="gated", lossy=False, threshold=GATE),
            LossyRow(name="ungated", lossy=False, threshold=0.0),
        ]
        return [
            *(
                stopping(row, partial(self.mode.loop, target, drafter, *parts, row))
                for row in self.mode.settings(fit)
            ),
            *(stopping(row, lambda: Speculate(target, drafter, *parts)) for row in lossless),
            _Setting(
                LossyRow(name="lookup", lossy=False), lambda: Speculate(target, Lookup(), *parts)
            ),
        ]

    def _measure(
        self, settings: Sequence[_Setting]
    ) -> tuple[list[LossyRow], list[list[int]], Judged | None]:
        """Every setting in turn; the texts that the target wrote alone, and how it judges those."""
        setup, options = self.setup, self.setup.options
        plain = Autoregress(setup.target, self.sampling, options.seed)
        rows, texts, alone = [], list[list[int]](), None
        with Progress(transient=True) as progress:
            batches = -(-len(self.prompts) // options.batch)
            turns = batches * sum(setting.loop is not None for setting in settings)
            task = progress.add_task("decoding", total=turns)
            for row, loop in settings:
                if loop is None:
                    rows.append(row)
                    continue
                measurement = measure(
                    plain,
                    loop(),
                    self.prompts,
                    range(len(self.prompts)),
                    batch=options.batch,
                    max_new_tokens=options.max_new_tokens,
                    repeats=options.repeats,
                    advance=lambda: progress.advance(task),
                )
                texts = measurement.baseline.tokens
                if alone is None:
                    alone = judged(setup.reference(), self.prompts, texts, None, self.sampling)
                rows.append(replace(row, measured=self._figures(measurement, alone)))
        return rows, texts, alone

    def _figures(self, measurement: Measurement, alone: Judged) -> LossyFigures:
        setup, plain, drafted = self.setup, measurement.baseline, measurement.drafted
        found = judged(
            setup.reference(), self.prompts, drafted.tokens, drafted.accepted, self.sampling
        )
        passes, tokens = sum(map(len, drafted.accepted)), sum(drafted.decoded)
        ends, speed = setup.target.spec.eos, figures.speed(measurement.timings())
        texts = (
            [[t for t in text if t not in ends] for text in side.tokens]
            for side in (drafted, plain)
        )
        return LossyFigures(
            target_passes_saved=1 - passes / max(tokens, 1),
            tokens_per_pass=tokens / max(passes, 1),
            accepted=found.accepted / max(found.tokens, 1),
            agreement=found.agreement,
            perplexity=found.perplexity,
            perplexity_ratio=found.perplexity / alone.perplexity,
            **vars(likeness(setup.tokenizer, *texts)),
            repeated_4grams=figures.share(*repeated_4grams(drafted.tokens)),
            speedup=speed.speedup,
            timed_batches=speed.timed_batches,
        )
