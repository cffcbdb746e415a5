"""How rows are batched, padded and packed."""

from __future__ import annotations

import pytest
import torch
from tests.fakes import random_target

from litdraft.data.rows.batches import TrainingBatches, TrainingLoader, collate
from litdraft.data.rows.packed import Packed, bins
from litdraft.data.rows.rows import Rows

LENGTHS = torch.tensor([3 + (7 * row) % 23 for row in range(50)])


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_together_see_what_one_would_see(world: int) -> None:
    whole = list(TrainingBatches(LENGTHS, 6, seed=1))
    parts = [list(TrainingBatches(LENGTHS, 6, 1, rank, world)) for rank in range(world)]
    for number, batch in enumerate(whole):
        assert sorted(row for part in parts for row in part[number]) == sorted(batch)
    seen = [row for batch in whole for row in batch]
    assert len(set(seen)) == len(seen) == 48
    later = TrainingBatches(LENGTHS, 6, seed=1)
    later.set_epoch(1)
    assert list(later) != whole


def test_batches_have_rows_of_similar_length() -> None:
    batches = TrainingBatches(LENGTHS, 6, seed=1).order()
    padded = sum(len(batch) * int(LENGTHS[batch].max()) for batch in batches)
    real = sum(int(LENGTHS[batch].sum()) for batch in batches)
    assert padded < 1.15 * real
    longest = [int(LENGTHS[batch].max()) for batch in batches]
    assert longest != sorted(longest), "but long rows do not all come last"


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_is_resumed_where_it_ended(workers: int) -> None:
    rows = Rows.of([[1] * n for n in LENGTHS.tolist()])

    def loader() -> TrainingLoader:
        return TrainingLoader(
            rows, TrainingBatches(LENGTHS, 6, seed=1), workers, trained=lambda: len(taken)
        )

    taken: list[torch.Size] = []
    whole = [batch.tokens_BT.shape for batch in loader()]
    for batch in loader():
        taken.append(batch.tokens_BT.shape)
        if len(taken) == 3:
            break
    assert [*taken, *(batch.tokens_BT.shape for batch in loader())] == whole
    taken.clear()
    assert len(list(loader())) == len(whole), "the next epoch is whole"


def test_bins_are_full_and_have_every_row_once() -> None:
    packed = bins(LENGTHS.tolist(), 40)
    assert sorted(row for some in packed for row in some) == list(range(50))
    sizes = [int(LENGTHS[some].sum()) for some in packed]
    assert max(sizes) <= 40
    assert len(packed) <= 1.05 * int(LENGTHS.sum()) / 40 + 1


def test_packed_texts_do_not_read_each_other() -> None:
    target = random_target()
    texts = [[1, 5, 6, 7], [1, 9, 8], [1, 3, 3, 4, 5]]
    rows = Rows.of(texts, [2, 1, 1])
    packed = Packed(rows, rows.lengths_B, 12)
    batch = collate([packed[0]])
    assert batch.start_BT is not None
    together = target.forward(batch.tokens_BT, start_BP=batch.start_BT).hidden_BPD[0]
    first = 0
    for row in packed.bins[0]:
        alone = target.forward(torch.tensor([texts[row]])).hidden_BPD[0]
        assert torch.allclose(together[first : first + len(texts[row])], alone, atol=1e-12)
        assert not batch.trained_BT[0, first]
        first += len(texts[row])
    assert batch.trained_BT.sum() == rows.trained_count()
