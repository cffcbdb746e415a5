"""What a lossy report is: `lossy.json`, field by field (documented in docs/report.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from litdraft.acceptance.counts import Interval
from litdraft.errors import UserError
from litdraft.io import read_json, write_json
from litdraft.reports.plain import from_plain, to_plain
from litdraft.reports.schema import SCHEMA_VERSION, Calibration, Evaluated
from litdraft.reports.upgrade import upgraded_lossy


@dataclass(frozen=True)
class Platt:
    """probability = sigmoid(scale x score + shift)."""

    scale: float
    shift: float


@dataclass(frozen=True)
class Threshold:
    """The positions of the test texts whose probability reaches a threshold."""

    threshold: float
    positions: int
    share: float
    agreement: float | None
    calibration_error: float


@dataclass(frozen=True)
class Curves:
    """For plots: [recall, precision] pairs by event, and [mean probability, agreement] of bins."""

    ranked: dict[str, list[list[float]]]
    bins: list[list[float]]


@dataclass(frozen=True, kw_only=True)
class LossyFigures:
    """What decoding with one setting saved, and what its texts are like."""

    target_passes_saved: float
    tokens_per_pass: float
    accepted: float
    agreement: float | None
    perplexity: float
    perplexity_ratio: float
    bleu: float
    rougeL: float
    identical: float
    repeated_4grams: float
    speedup: Interval
    timed_batches: int


@dataclass(frozen=True, kw_only=True)
class LossyRow:
    """One setting, lossy or lossless; `measured` is None where it can never skip anything."""

    name: str
    lossy: bool
    agreement: float | None = None
    bound: float | None = None
    threshold: float | None = None
    measured: LossyFigures | None = None


@dataclass(frozen=True, kw_only=True)
class LossyBlock:
    """Everything under one sampling."""

    temperature: float
    calibration: Platt
    validation: Calibration
    test: Calibration
    above: list[Threshold]
    curves: Curves
    perplexity: float | None
    repeated_4grams: float
    rows: list[LossyRow]

    def measured(self, *, lossy: bool) -> list[tuple[LossyRow, LossyFigures]]:
        """The lossy settings, or the lossless ones, that were decoded with."""
        return [(row, row.measured) for row in self.rows if row.measured and row.lossy is lossy]


@dataclass(frozen=True, kw_only=True)
class LossyReport(Evaluated):
    """A lossy evaluation, the sampling that was asked for first."""

    schema_version: int = SCHEMA_VERSION
    mode: str = "lossy"
    decoding: str
    losslessness: str
    blocks: list[LossyBlock]

    @property
    def best_speedup(self) -> float:
        """Of the lossy settings under the main sampling; 1 where nothing could be skipped."""
        rows = self.blocks[0].measured(lossy=True)
        return max((figures.speedup.value for _, figures in rows), default=1.0)

    @classmethod
    def load(cls, path: Path | str) -> LossyReport:
        """From lossy.json, or the folder that holds it. UserError if it is something else."""
        path = Path(path)
        path = path / "lossy.json" if path.is_dir() else path
        try:
            return from_plain(cls, upgraded_lossy(read_json(path)))
        except UserError as error:
            raise UserError(f"{path} is no lossy report of this version: {error}") from None

    def save(self, folder: Path | str) -> Path:
        """Write lossy.json, whole or not at all."""
        path = Path(folder) / "lossy.json"
        write_json(path, to_plain(self))
        return path
