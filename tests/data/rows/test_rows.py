"""Rows, how they are split, and their cached continuations."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.fakes import random_target
from tests.training.runs import NoTokenizer

from litdraft.data import continuations
from litdraft.data.continuations import Writer
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.options import HELD_OUT
from litdraft.data.sources.target_generated import TargetGenerated
from litdraft.sampling import Sampling


def test_rows_come_back_from_a_file(tmp_path: Path) -> None:
    texts = [[1, 2, 3], [4], [5, 6]]
    rows = Rows.of(texts, [2, 1, 1], None, ["a", "", "b"], ["x", None, ""])
    rows.save(tmp_path / "rows")
    again = Rows.load(tmp_path / "rows")
    assert again is not None
    assert again.token_lists() == texts
    assert again.prompts() == [[1, 2], [4], [5]]
    assert again.groups == ["a", "", "b"]
    assert again.references == ["x", None, ""]
    assert again.fingerprint() == rows.fingerprint() != rows.select([0, 2]).fingerprint()
    assert (again.token_count(), again.trained_count()) == (6, 2)
    assert again.counts_V(8).tolist() == [0, 0, 0, 1, 0, 0, 1, 0]
    (tmp_path / "rows").write_bytes((tmp_path / "rows").read_bytes()[:-40])
    assert Rows.load(tmp_path / "rows") is None, "a damaged file is written anew"


def test_selected_and_joined_rows_are_the_same_rows() -> None:
    rows = Rows.of([[1, 2, 3], [4], [5, 6]], spans=[[1, 2], [], [0, 2]])
    picked = Rows.concatenate([rows.select([2, 0]), rows.select([1])])
    assert picked.token_lists() == [[5, 6], [1, 2, 3], [4]]
    assert picked.lengths_B.tolist() == [2, 3, 1]
    assert picked.trained_count() == 3
    assert [row.trained_T.tolist() for row in (picked[0], picked[1], picked[2])] == [
        [True, True],
        [False, True, False],
        [False],
    ]


def test_nothing_is_written_twice_and_a_lost_part_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuations, "ROWS_PER_FILE", 4)
    target, prompts = random_target(), [[1, token] for token in range(2, 12)]
    whole = Writer(target, tmp_path, seed=0).write(prompts, 8, Sampling(1.0))
    parts = sorted(tmp_path.rglob("*.arrow"))
    assert len(parts) == 3
    times = [part.stat().st_mtime_ns for part in parts]
    parts[1].unlink()
    again = Writer(target, tmp_path, seed=0).write(prompts, 8, Sampling(1.0))
    assert again.token_lists() == whole.token_lists()
    assert [p.stat().st_mtime_ns == t for p, t in zip(parts, times, strict=True)] == [
        True,
        False,
        True,
    ]
    other = Writer(random_target(seed=9), tmp_path, seed=0).write(prompts, 8, Sampling(1.0))
    assert other.token_lists() != whole.token_lists(), "another target, another text"
    manifest = json.loads((parts[0].parent / "manifest.json").read_text())
    assert manifest["target"]["fingerprint"] == target.spec.fingerprint
    assert (manifest["rows"], manifest["tokens"]) == (10, whole.token_count())
    assert manifest["sampling"]["temperature"] == 1.0


def test_the_splits_of_generated_text_share_no_row(tmp_path: Path) -> None:
    target = random_target()
    writer = Writer(target, tmp_path, seed=0)
    materials = Materials(NoTokenizer(), tmp_path, target.spec, writer)
    source = TargetGenerated(samples=40, length=40, opening=12, temperatures=(1.0, 0.0))
    training = {tuple(row[:13]) for row in source.training(materials).token_lists()}
    held_out = [
        tuple(row)
        for split in HELD_OUT
        for row in source.held_out(materials, split, 20, 8).token_lists()
    ]
    assert len(training) == 40
    assert len(set(held_out)) == 40
    assert not training & set(held_out)
    assert all(len(row) == 13 for row in held_out)
