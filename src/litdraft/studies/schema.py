"""What a study's report is: `study.json`, field by field (documented in docs/report.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from litdraft.errors import UserError
from litdraft.io import read_json, write_json
from litdraft.reports.plain import from_plain, to_plain
from litdraft.reports.schema import SCHEMA_VERSION, Provenance
from litdraft.reports.upgrade import upgraded_study


@dataclass(frozen=True)
class KindFigures:
    """The positions whose likeliest token is of one kind; lists have an entry for each bound."""

    positions: int
    certain: list[int]
    right: list[int]


@dataclass(frozen=True)
class Detector:
    """A detector of certainty that sees the last `order` tokens, judged on half of the texts."""

    order: int
    texts: int
    positions: int
    certain: int
    average_precision: float
    recall: list[float]
    passes: list[int]
    speedup: float | None


@dataclass(frozen=True, kw_only=True)
class CertaintyFigures:
    """One set of texts; lists have an entry for each bound."""

    texts: int
    positions: int
    certain: list[int]
    right: list[int]
    share: list[float]
    kinds: dict[str, KindFigures]
    repeated_4grams: float
    passes: list[list[int]]
    speedup: list[float | None]
    detection: dict[str, list[Detector]]


@dataclass(frozen=True, kw_only=True)
class CertaintyReport(Provenance):
    """study=certainty: at how many positions a target is certain of its next token."""

    schema_version: int = SCHEMA_VERSION
    study: str = "certainty"
    target: str
    texts: dict[str, CertaintyFigures]
    pass_seconds: list[float]
    prompts: int
    prompt_tokens: int
    max_new_tokens: int
    dtype: str
    fused: bool
    seed: int

    @property
    def last_texts(self) -> tuple[str, CertaintyFigures]:
        """The set of texts that plots and tables by kind show, and its name."""
        return list(self.texts.items())[-1]

    @classmethod
    def load(cls, path: Path | str) -> CertaintyReport:
        """From study.json, or the folder that holds it. UserError if it is something else."""
        path = Path(path)
        path = path / "study.json" if path.is_dir() else path
        try:
            return from_plain(cls, upgraded_study(read_json(path)))
        except UserError as error:
            raise UserError(f"{path} is no certainty study of this version: {error}") from None


@dataclass(frozen=True)
class Suffix:
    """A token that can continue a word; counts are None without a text to count in."""

    id: int
    piece: str
    text: str | None
    count: int | None
    inside: int | None


@dataclass(frozen=True, kw_only=True)
class SuffixReport(Provenance):
    """study=suffixes: the tokens that can continue a word."""

    schema_version: int = SCHEMA_VERSION
    study: str = "suffixes"
    tokenizer: str
    pieces: int
    kinds: dict[str, int]
    tokens: int | None
    inside: int | None
    suffixes: list[Suffix]


def save(report: CertaintyReport | SuffixReport, folder: Path) -> None:
    """Write study.json, whole or not at all."""
    write_json(folder / "study.json", to_plain(report))
