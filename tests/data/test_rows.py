"""Rows, how they are dealt out, and what is remembered of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.fakes import random_target
from tests.training.runs import NoTokenizer

from litdraft.data import continuations
from litdraft.data.continuations import Writer
from litdraft.data.rows import Rows, TrainingBatches, collate
from litdraft.data.source import Materials
from litdraft.data.target_generated import TargetGenerated
from litdraft.sampling import Sampling


def test_rows_come_back_from_a_file(tmp_path: Path) -> None:
    rows = Rows.of([[1, 2, 3], [4], [5, 6]], [2, 1, 1])
    rows.save(tmp_path / "rows")
    again = Rows.load(tmp_path / "rows")
    assert again is not None
    assert again.lists() == [[1, 2, 3], [4], [5, 6]]
    assert again.prompts() == [[1, 2], [4], [5]]
    (tmp_path / "rows").write_bytes((tmp_path / "rows").read_bytes()[:20])
    assert Rows.load(tmp_path / "rows") is None, "a damaged file is written anew"
    batch = collate([rows[0], rows[2]])
    assert batch.tokens_BT.tolist() == [[1, 2, 3], [5, 6, 0]]
    assert batch.length_B.tolist() == [3, 2]


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_together_see_what_one_would_see(world: int) -> None:
    whole = list(TrainingBatches(50, 6, seed=1))
    parts = [list(TrainingBatches(50, 6, 1, rank, world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        assert sorted(row for part in parts for row in part[number]) == sorted(batch)
    seen = [row for batch in whole for row in batch]
    assert len(set(seen)) == len(seen) == 48
    later = TrainingBatches(50, 6, seed=1)
    later.set_epoch(1)
    assert list(later) != whole


def test_nothing_is_written_twice_and_a_lost_part_only_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuations, "PART", 4)
    target, prompts = random_target(), [[1, token] for token in range(2, 12)]
    whole = Writer(target, tmp_path, seed=0).continued(prompts, 8, Sampling(1.0))
    parts = sorted(tmp_path.rglob("*.safetensors"))
    assert len(parts) == 3
    times = [part.stat().st_mtime_ns for part in parts]
    parts[1].unlink()
    again = Writer(target, tmp_path, seed=0).continued(prompts, 8, Sampling(1.0))
    assert again.lists() == whole.lists()
    assert [p.stat().st_mtime_ns == t for p, t in zip(parts, times, strict=True)] == [
        True,
        False,
        True,
    ]
    other = Writer(random_target(seed=9), tmp_path, seed=0).continued(prompts, 8, Sampling(1.0))
    assert other.lists() != whole.lists(), "another target, another text"


def test_the_splits_of_generated_text_are_apart(tmp_path: Path) -> None:
    target = random_target()
    materials = Materials(NoTokenizer(), target, Writer(target, tmp_path, seed=0))
    source = TargetGenerated(samples=40, length=40, opening=12, temperatures=(1.0, 0.0))
    training = {tuple(row[:13]) for row in source.training(materials).lists()}
    held_out = [
        tuple(r) for s in ("validation", "test") for r in source.held_out(materials, s, 20).lists()
    ]
    assert len(training) == 40
    assert len(set(held_out)) == 40
    assert not training & set(held_out)
    assert all(len(row) == 13 for row in held_out)
