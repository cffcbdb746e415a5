"""Reports survive JSON, refuse what is not theirs, read old files, and are documented."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.evaluation.samples import LENGTHS, STOP_RULE, group, sample
from tests.reports.documented import documented, own_fields, records

from litdraft.errors import UserError
from litdraft.reports import lossy, report
from litdraft.reports.lossy_schema import LossyReport
from litdraft.reports.plain import to_plain
from litdraft.reports.schema import Report
from litdraft.studies.schema import CertaintyReport, SuffixReport

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results"

# design.md, section 6: what every tool may rely on.
RELIED_ON = (
    "mean_acceptance_length", "acceptance_rate", "conditional_acceptance", "survival",
    "tokens_per_second", "baseline_tokens_per_second", "speedup",
    "predicted_mean_acceptance_length", "k", "temperature", "mode", "losslessness",
    "repeated_4grams", "floor", "prompts", "tokens", "target", "drafter", "device", "dtype",
    "command", "commit", "versions",
)  # fmt: skip


def saved(folder: Path, made: Report) -> dict[str, Any]:
    values: dict[str, Any] = json.loads(made.save(folder).read_text(encoding="utf-8"))
    return values


def test_a_report_is_the_same_after_it_was_saved(tmp_path: Path) -> None:
    made = sample(
        groups={"even": group(2.0), "odd": group(1.5, None)}, draft_lengths=LENGTHS,
        stop_rule=STOP_RULE,
    )  # fmt: skip
    path = made.save(tmp_path)
    assert Report.load(path) == Report.load(tmp_path) == made


def test_the_file_has_the_fields_that_tools_rely_on(tmp_path: Path) -> None:
    values = saved(tmp_path, sample())
    assert set(RELIED_ON) <= values.keys()
    assert values["speedup"].keys() == {"value", "low", "high"}
    assert {"prompts", "identical", "near_ties", "mismatches"} <= values["losslessness"].keys()
    assert values["floor"].keys() == {"lookup", "untrained"}
    assert (values["mode"], values["schema_version"]) == ("lossless", 1)


BROKEN: dict[str, tuple[Callable[[dict[str, Any]], Any], str]] = {
    "missing": (lambda v: v.pop("speedup"), "field speedup is missing"),
    "missing inside": (
        lambda v: v["other_sampling"]["speedup"].pop("low"),
        "field other_sampling.speedup.low is missing",
    ),
    "unknown": (lambda v: v.update(tau=1), "field tau is unknown"),
    "unknown inside": (
        lambda v: v["timings"][2].update(extra=1),
        r"field timings\[2\].extra is unknown",
    ),
    "another type": (lambda v: v.update(k="three"), "field k is 'three', but int was expected"),
    "no number": (
        lambda v: v.update(survival=[0.5, None]),
        r"field survival\[1\] is None, but float was expected",
    ),
    "no list": (lambda v: v.update(timings=3), r"field timings is 3, but list\["),
    "no object": (lambda v: v.update(floor=[1]), r"field floor is \[1\], but an object"),
    "a boolean for a number": (lambda v: v.update(rounds=True), "field rounds is True, but int"),
    "newer": (lambda v: v.update(schema_version=2), "has schema_version 2, but this LitDraft"),
}


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN.keys())
def test_a_file_of_another_schema_is_refused_by_the_field(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], message: str
) -> None:
    values = saved(tmp_path, sample())
    change(values)
    (tmp_path / "report.json").write_text(json.dumps(values), encoding="utf-8")
    with pytest.raises(UserError, match=message) as error:
        Report.load(tmp_path)
    assert "report.json" in str(error.value)


def old(*marks: str) -> list[Path]:
    """Saved results that have one of these fields."""
    paths = sorted(RESULTS.rglob("*.json"))
    values = {path: json.loads(path.read_text(encoding="utf-8")) for path in paths}
    return [
        path
        for path, found in values.items()
        if isinstance(found, dict) and not found.keys().isdisjoint(marks)
    ]


def test_every_saved_report_is_read_and_rendered() -> None:
    paths = old("beside", "other_sampling")
    assert len(paths) >= 71
    for path in paths:
        values = json.loads(path.read_text(encoding="utf-8"))
        read = Report.load(path)
        for name in ("mean_acceptance_length", "k", "tokens", "prompts", "drafter"):
            assert getattr(read, name) == values[name], path
        assert to_plain(read.speedup) == values["speedup"]
        assert set(read.groups) == set(values.get("groups", {}))
        assert report.headline(read) in report.document(read).markdown()


def test_every_saved_lossy_report_is_read_and_rendered() -> None:
    paths = old("blocks")
    assert len(paths) >= 10
    for path in paths:
        read = LossyReport.load(path)
        assert read.best_speedup > 0
        assert "LOSSY" in lossy.document(read).markdown()
        assert all(block.measured(lossy=False) for block in read.blocks)


def test_every_saved_study_is_read() -> None:
    paths = old("study")
    assert len(paths) >= 4
    for path in paths:
        _, figures = CertaintyReport.load(path).last_texts
        assert 0 < figures.share[2] < 1


@pytest.mark.parametrize("root", [Report, LossyReport, CertaintyReport, SuffixReport])
def test_every_field_is_documented_and_no_other(root: type) -> None:
    tables = documented()
    for name, record in records(root).items():
        assert tables[name] == own_fields(record), f"docs/report.md, {name}"


def test_every_documented_record_exists() -> None:
    known = {
        name for root in (Report, LossyReport, CertaintyReport, SuffixReport)
        for name in records(root)
    }  # fmt: skip
    assert documented().keys() == known
