"""How drafts are used: one class for each choice of `decoding=`.

A lossless mode may set the drafter's stop rule. A lossy mode names the settings that are compared
and makes the loop of each.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from litdraft.decoding.lossy import Phrase, Skip
from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.evaluation.calibration import Fit, calibrate, check_confident, set_stop_rule
from litdraft.evaluation.calibration_figures import figures
from litdraft.evaluation.setup import Setup
from litdraft.protocols import Drafter, Target
from litdraft.reports.lossy_schema import LossyRow
from litdraft.reports.schema import StopRuleFit
from litdraft.sampling import Sampling

SetStopRule = Callable[[Sampling], StopRuleFit | None]


@dataclass(frozen=True)
class Mode:
    """A choice of `decoding=`; `name` is that choice."""

    name: ClassVar[str]

    def check(self, drafter: Drafter) -> None:
        """UserError if the drafter cannot be used like this."""


@dataclass(frozen=True)
class LosslessMode(Mode):
    """Every draft is verified."""

    def stop_rule(self, setup: Setup) -> SetStopRule:
        """To be called before decoding under a sampling; gives what it set, if anything."""
        return lambda sampling: None


@dataclass(frozen=True)
class Speculative(LosslessMode):
    """Drafts k tokens in every round."""

    name = "speculative"


@dataclass(frozen=True)
class Gated(LosslessMode):
    """Stops drafting when unsure: below `threshold`, or below the threshold from which on a share
    `agreement` of validation positions agrees with the target. One of them is None."""

    threshold: float | None = 0.4
    agreement: float | None = None
    validation: int = 64
    name = "gated"

    def __post_init__(self) -> None:
        check_probabilities(threshold=self.threshold, agreement=self.agreement)
        if (self.threshold is None) == (self.agreement is None):
            raise UserError(
                f"decoding.threshold={self.threshold} and decoding.agreement={self.agreement} "
                "were given: give one of them, and null for the other"
            )

    def check(self, drafter: Drafter) -> None:
        check_confident(drafter, self.name)

    def stop_rule(self, setup: Setup) -> SetStopRule:
        fits: dict[Sampling, Fit] = {}

        def apply(sampling: Sampling) -> StopRuleFit:
            if sampling not in fits:
                fits[sampling] = calibrate(setup, sampling, self.validation)
            fit = fits[sampling]
            threshold = self.threshold
            if self.agreement is not None:
                threshold = fit.threshold(self.agreement)
            set_stop_rule(setup.drafter, fit, threshold)
            return StopRuleFit(
                threshold=threshold,
                agreement=self.agreement,
                scale=fit.scale,
                shift=fit.shift,
                validation=figures(fit.scored, fit),
            )

        return apply


@dataclass(frozen=True)
class LossyMode(Mode):
    """LOSSY: accepts drafts that were not verified. Calibrated on `validation` prompts."""

    validation: int = 64

    def check(self, drafter: Drafter) -> None:
        check_confident(drafter, self.name)

    def settings(self, fit: Fit) -> list[LossyRow]:
        """What is compared; a threshold of None can never skip anything."""
        raise NotImplementedError

    def loop(
        self, target: Target, drafter: Drafter, k: int, sampling: Sampling, seed: int, row: LossyRow
    ) -> Speculate:
        """The loop of one setting; the drafter's stop rule is set by whoever calls it."""
        raise NotImplementedError


@dataclass(frozen=True)
class WordCompletion(LossyMode):
    """LOSSY: accepts all drafts, for every `agreement` that is wanted of them."""

    agreement: Sequence[float] = (0.8, 0.9, 0.95, 0.98, 0.99, 0.999)
    name = "word_completion"

    def __post_init__(self) -> None:
        check_probabilities(agreement=self.agreement)

    def settings(self, fit: Fit) -> list[LossyRow]:
        return [
            LossyRow(name="skip", lossy=True, agreement=wanted, threshold=fit.threshold(wanted))
            for wanted in self.agreement
        ]

    def loop(
        self, target: Target, drafter: Drafter, k: int, sampling: Sampling, seed: int, row: LossyRow
    ) -> Speculate:
        return Skip(target, drafter, k, sampling, seed)


@dataclass(frozen=True)
class Phrasing(LossyMode):
    """LOSSY: drafts while the whole draft is right with probability `threshold`, and accepts up to
    the first token to which the target gives less than a bound (BiLD, arXiv 2302.07863)."""

    threshold: float = 0.3
    bounds: Sequence[float] = (0.5, 0.3, 0.1, 0.03, 0.01)
    name = "phrasing"

    def __post_init__(self) -> None:
        check_probabilities(threshold=self.threshold, bounds=self.bounds)

    def settings(self, fit: Fit) -> list[LossyRow]:
        return [
            LossyRow(name="phrase", lossy=True, bound=bound, threshold=self.threshold)
            for bound in self.bounds
        ]

    def loop(
        self, target: Target, drafter: Drafter, k: int, sampling: Sampling, seed: int, row: LossyRow
    ) -> Speculate:
        return Phrase(target, drafter, k, sampling, seed, bound=row.bound or 0.0)


def check_probabilities(**given: float | Sequence[float] | None) -> None:
    """UserError if a value of decoding.KEY is no probability; None is none to check."""
    for key, values in given.items():
        for value in values if isinstance(values, Sequence) else [values]:
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                shown = list(values) if isinstance(values, Sequence) else values
                raise UserError(f"decoding.{key}={shown} was given: probabilities are 0 to 1")
