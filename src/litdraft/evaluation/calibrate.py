"""From what a drafter says on validation text to the gate that it drafts behind."""

from __future__ import annotations

from typing import Any, NamedTuple

from rich.progress import Progress

from litdraft.errors import UserError
from litdraft.evaluation import calibration as gating
from litdraft.evaluation.calibration import Heard
from litdraft.evaluation.setup import Bench, prompts_of, writer_of
from litdraft.sampling import Sampling

NEVER = 2.0  # a threshold that no probability reaches


class Fit(NamedTuple):
    """A calibration, and the validation text that it was made on."""

    scale: float
    shift: float
    heard: Heard

    def threshold(self, agreement: float) -> float | None:
        """From which on so much agrees; None if there is none."""
        prob_n = gating.probs(self.heard, self.scale, self.shift)
        return gating.threshold(prob_n, self.heard.agreed_n, agreement)


def check(bench: Bench) -> None:
    """UserError unless the drafter can be gated as it was asked for."""
    decoding, drafter = bench.config.decoding, bench.drafter
    if not drafter.confident:
        raise UserError(
            f"decoding={decoding.mode} asks the drafter how sure it is, which drafter="
            f"{drafter.name} cannot say: train drafter=word_completion or drafter=sentence"
        )
    for key in ("threshold", "agreement", "bounds"):
        given = decoding.get(key)
        for value in given if hasattr(given, "__iter__") else [given]:
            if value is not None and not (isinstance(value, int | float) and 0 <= value <= 1):
                raise UserError(f"decoding.{key}={given} was given: probabilities are 0 to 1")
    if decoding.mode == "gated" and (decoding.threshold is None) == (decoding.agreement is None):
        raise UserError(
            f"decoding.threshold={decoding.threshold} and decoding.agreement={decoding.agreement} "
            "were given: give one of them, and null for the other"
        )


def fit(bench: Bench, sampling: Sampling) -> Fit:
    """Calibrate on what the target writes behind validation prompts, under the same sampling."""
    config = bench.config
    prompts = prompts_of(bench, "validation", config.decoding.validation).prompts()
    rows = writer_of(bench).write(prompts, config.max_new_tokens, sampling)
    texts = [rows[place][0][len(prompt) :].tolist() for place, prompt in enumerate(prompts)]
    with Progress(transient=True) as progress:
        work = progress.add_task("calibrating", total=len(prompts))
        drafter: Any = bench.drafter
        heard = gating.hear(
            bench.target, drafter, prompts, texts, sampling, lambda n: progress.advance(work, n)
        )
    if not len(heard.score_n):
        raise UserError(
            f"the target ends behind each of {len(prompts)} validation prompts at once, so nothing "
            "can be calibrated: give other data, or more of decoding.validation="
        )
    return Fit(*gating.calibrated(heard), heard)


class Gating:
    """The gate of decoding=gated, under one sampling at a time; nothing of any other decoding."""

    def __init__(self, bench: Bench) -> None:
        """UserError unless the drafter can be gated as it was asked for."""
        self.bench, self.fits = bench, dict[Sampling, Fit]()
        self.asked = bench.config.decoding.mode == "gated"
        if self.asked:
            check(bench)

    def set(self, sampling: Sampling) -> dict[str, Any] | None:
        """Draft behind the gate for this sampling from now on, calibrated once; what was set."""
        if not self.asked:
            return None
        decoding = self.bench.config.decoding
        if sampling not in self.fits:
            self.fits[sampling] = fit(self.bench, sampling)
        found = self.fits[sampling]
        least = decoding.threshold
        if least is None:
            least = found.threshold(decoding.agreement)
        set_stop_rule(self.bench, found, least)
        return {
            "threshold": least,
            "agreement": decoding.agreement,
            "scale": found.scale,
            "shift": found.shift,
            "validation": gating.figures(found.heard, found.scale, found.shift),
        }


def set_stop_rule(bench: Bench, found: Fit, threshold: float | None) -> None:
    """Draft where the calibrated probability is at least the threshold; None, nowhere."""
    drafter: Any = bench.drafter
    drafter.set_stop_rule(found.scale, found.shift, NEVER if threshold is None else threshold)
