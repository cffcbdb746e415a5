"""Reports of version 0, written before there was a schema_version, in the fields of version 1."""

from __future__ import annotations

from typing import Any

Values = dict[str, Any]

SINCE: Values = {  # fields that version 0 gained over time, as they were before
    "groups": {},
    "quality": None,
    "decoding": "speculative",
    "draft_milliseconds": None,
    "training_seconds": None,
}


def upgraded(values: Values) -> Values:
    """report.json of version 1; anything newer as it is."""
    if "schema_version" in values:
        return values
    main = _sampling({**SINCE, "schema_version": 1, "timings": [], **values})
    if isinstance(main.get("beside"), dict):
        beside = main.pop("beside")
        main["other_sampling"] = _sampling({"groups": {}, "quality": None, **beside})
    return main


def upgraded_lossy(values: Values) -> Values:
    """lossy.json of version 1."""
    if "schema_version" in values:
        return values
    blocks = [
        {
            **block,
            "rows": [_lossy_row(row) for row in block["rows"]],
            **{name: _calibration(block[name]) for name in ("validation", "test")},
        }
        for block in values.get("blocks", [])
    ]
    return {"schema_version": 1, **values, "blocks": blocks}


def upgraded_study(values: Values) -> Values:
    """study.json of version 1."""
    if "schema_version" in values:
        return values
    texts = {name: _studied(text) for name, text in values.get("texts", {}).items()}
    return {"schema_version": 1, **values, **({"texts": texts} if texts else {})}


def _sampling(values: Values) -> Values:
    """One sampling: what was called a gate is a stop rule, and groups may have a quality."""
    gate = values.pop("gate", None)
    if gate is not None:
        gate = {**gate, "validation": _calibration(gate["validation"])}
    groups = {name: {"quality": None, **part} for name, part in values["groups"].items()}
    return {**values, "stop_rule": gate, "groups": groups}


def _calibration(values: Values) -> Values:
    return {**values, "events": {name: _ranking(part) for name, part in values["events"].items()}}


def _ranking(values: Values) -> Values:
    """An area under precision and recall is an average precision."""
    return {("average_precision" if name == "area" else name): x for name, x in values.items()}


LOSSY_FIGURES = {  # name in version 0: name in version 1
    "passes_saved": "target_passes_saved",
    "tokens_a_pass": "tokens_per_pass",
    "kept": "accepted",
    "agreement_measured": "agreement",
    "perplexity": "perplexity",
    "perplexity_ratio": "perplexity_ratio",
    "bleu": "bleu",
    "rougeL": "rougeL",
    "same": "identical",
    "repeated_4grams": "repeated_4grams",
    "speedup": "speedup",
    "timed_batches": "timed_batches",
}


def _lossy_row(row: Values) -> Values:
    """What a setting asked for, and apart from it what was measured."""
    measured = {new: row[old] for old, new in LOSSY_FIGURES.items() if old in row}
    asked = {name: row.get(name) for name in ("agreement", "bound", "threshold")}
    return {"name": row["name"], "lossy": row["lossy"], **asked, "measured": measured or None}


def _studied(text: Values) -> Values:
    detection = {
        bound: [_ranking(found) for found in some] for bound, some in text["detection"].items()
    }
    return {**text, "detection": detection}
