"""What a report is: `report.json`, field by field (documented in docs/report.md).

`Report` is flat where it describes the main sampling: its attributes have the names of the JSON
fields. Rates are shares of 1, times are in seconds unless the name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.acceptance.counts import Interval
from litdraft.errors import UserError
from litdraft.io import read_json, write_json
from litdraft.reports.plain import from_plain, to_plain
from litdraft.reports.upgrade import upgraded

SCHEMA_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """How a number came about."""

    command: str
    commit: str | None
    versions: dict[str, str]
    device: str


@dataclass(frozen=True, kw_only=True)
class Evaluated(Provenance):
    """What was evaluated, and how it decoded."""

    target: str
    drafter: str
    parameters: int
    k: int
    prompts: int
    max_new_tokens: int
    batch: int
    repeats: int
    top_k: int
    top_p: float
    seed: int
    dtype: str
    fused: bool


class Floors(NamedTuple):
    """Mean acceptance lengths that any drafter has to exceed, by replay on the same texts."""

    lookup: float
    untrained: float


@dataclass(frozen=True)
class TextQuality:
    """One decoder's texts compared with references, shares of 1."""

    rouge1: float
    rouge2: float
    rougeL: float
    chrf: float
    word_accuracy: float


@dataclass(frozen=True)
class Quality:
    """Both decoders' texts, over the prompts that have a reference."""

    prompts: int
    baseline: TextQuality
    drafted: TextQuality


@dataclass(frozen=True)
class Ranking:
    """How well a confidence ranks positions by whether an event happens."""

    share: float
    average_precision: float


@dataclass(frozen=True)
class Calibration:
    """How right a drafter's probabilities are, over positions of texts."""

    positions: int
    agreement: float
    calibration_error: float
    events: dict[str, Ranking]


@dataclass(frozen=True)
class StopRuleFit:
    """When the drafter stops drafting, calibrated on validation text."""

    threshold: float | None
    agreement: float | None
    scale: float
    shift: float
    validation: Calibration


@dataclass(frozen=True, kw_only=True)
class AcceptanceFigures:
    """How much of what was drafted is accepted, over some prompts under one sampling."""

    mean_acceptance_length: float
    acceptance_rate: float
    conditional_acceptance: list[float]
    survival: list[float]
    accepted_lengths: list[int]
    rounds: int
    predicted_mean_acceptance_length: float
    predicted_survival: list[float]
    repeated_4grams: float
    floor: Floors
    quality: Quality | None


@dataclass(frozen=True, kw_only=True)
class Group(AcceptanceFigures):
    """The prompts of one category."""

    prompts: int
    speedup: float | None


@dataclass(frozen=True, kw_only=True)
class Acceptance(AcceptanceFigures):
    """All prompts under one sampling."""

    temperature: float
    stop_rule: StopRuleFit | None
    groups: dict[str, Group]


@dataclass(frozen=True, kw_only=True)
class OtherSampling(Acceptance):
    """The second sampling: temperature 1 if the main one is greedy, and greedy otherwise."""

    speedup: Interval


@dataclass(frozen=True)
class PrefillSeconds:
    """Reading the prompts and emitting each first token."""

    baseline: float
    drafted: float


@dataclass(frozen=True)
class Timing:
    """One batch of prompts, decoded without and with the drafter; `tokens` are those after the
    first one of every prompt, which the prefill emits."""

    baseline_prefill_seconds: float
    baseline_decode_seconds: float
    baseline_tokens: int
    prefill_seconds: float
    decode_seconds: float
    tokens: int


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What the clock measured, decoding alone unless the name says otherwise."""

    tokens_per_second: float
    baseline_tokens_per_second: float
    speedup: Interval
    speedup_with_prefill: Interval
    prefill_seconds: PrefillSeconds
    timed_batches: int
    tokens: int
    timings: list[Timing]


@dataclass(frozen=True)
class Losslessness:
    """Every greedily emitted token, judged by a float32 pass of the target."""

    prompts: int
    identical: int
    near_ties: int
    mismatches: int
    tolerance: float


@dataclass(frozen=True)
class Compiled:
    """Which decoders ran compiled."""

    baseline: bool
    drafted: bool


@dataclass(frozen=True)
class DraftLength:
    """One k: expected tokens and measured seconds of a round, and the speed that follows."""

    k: int
    mean_acceptance_length: float
    round_seconds: float
    tokens_per_second: float


@dataclass(frozen=True, kw_only=True)
class Report(Acceptance, Speed, Evaluated):
    """A lossless evaluation."""

    schema_version: int = SCHEMA_VERSION
    mode: str = "lossless"
    decoding: str
    training_seconds: float | None
    draft_milliseconds: float | None
    draft_lengths: list[DraftLength]
    losslessness: Losslessness
    other_sampling: OtherSampling
    devices: int
    compile: str
    compiled: Compiled
    compile_seconds: float

    @property
    def samplings(self) -> tuple[Acceptance, Acceptance]:
        """The main sampling first."""
        return self, self.other_sampling

    @classmethod
    def load(cls, path: Path | str) -> Report:
        """From report.json, or the folder that holds it, also as version 0 wrote it. UserError if
        it is something else."""
        path = Path(path)
        path = path / "report.json" if path.is_dir() else path
        return cls.of(read_json(path), str(path))

    @classmethod
    def of(cls, values: dict[str, Any], name: str = "the report") -> Report:
        """From what report.json holds; `name` is for error messages."""
        values = upgraded(values)
        if (version := values["schema_version"]) != SCHEMA_VERSION:
            raise UserError(
                f"{name} has schema_version {version}, but this LitDraft reads {SCHEMA_VERSION}: "
                "use the LitDraft that wrote it, or evaluate again"
            )
        try:
            return from_plain(cls, values)
        except UserError as error:
            raise UserError(f"{name} is no report of schema version {version}: {error}") from None

    def save(self, folder: Path | str) -> Path:
        """Write report.json, whole or not at all."""
        path = Path(folder) / "report.json"
        write_json(path, to_plain(self))
        return path
