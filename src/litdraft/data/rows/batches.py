"""From rows to batches: in a fixed order, padded by length or packed, resumed where they ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from litdraft.data.rows.rows import Row

WINDOW = 16  # batches among which rows of similar length are sought


class Batch(NamedTuple):
    """Right-padded rows; the first prompt_B tokens of each were given. See `rows.Row`."""

    tokens_BT: Tensor
    length_B: Tensor
    prompt_B: Tensor
    trained_BT: Tensor
    start_BT: Tensor | None = None
    taught: dict[str, Tensor] | None = None


def collate(rows: Sequence[Row]) -> Batch:
    """Pad on the right with zeros; nothing reads the padding."""
    longest = max(len(row.tokens_T) for row in rows)
    # Padding is a text of its own, or one short row would make its last text a long one.
    starts = [
        F.pad(row.start_T, (0, longest - len(row.start_T)), value=len(row.start_T))
        for row in rows
        if row.start_T is not None
    ]
    taught = [row.taught for row in rows if row.taught is not None]
    padded = {
        name: pad_sequence([some[name] for some in taught], batch_first=True)
        for name in (taught[0] if taught else ())
    }
    return Batch(
        pad_sequence([row.tokens_T for row in rows], batch_first=True),
        torch.tensor([len(row.tokens_T) for row in rows]),
        torch.tensor([row.prompt for row in rows]),
        pad_sequence([row.trained_T for row in rows], batch_first=True),
        torch.stack(starts) if starts else None,
        padded or None,
    )


class TrainingBatches(Sampler[list[int]]):
    """One process's share of shuffled global batches, each of rows of similar length.

    The order depends on (seed, epoch) alone and a global batch is dealt out row by row, so N
    processes together see what one would see. An incomplete last batch is left out, unless it is
    the only one. The first `skip` batches are left out, where a run is taken up again.
    """

    def __init__(
        self, lengths_B: Tensor, batch: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.lengths_B, self.seed = lengths_B, seed
        self.batch = min(batch, len(lengths_B))
        self.rank, self.world = rank, world
        self.epoch = self.skip = 0
        self.sampler = self  # where Lightning looks for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch, a resumed one included."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths_B) // self.batch

    def __iter__(self) -> Iterator[list[int]]:
        for batch in self.order()[self.skip :]:
            yield batch[self.rank :: self.world]

    def order(self) -> list[list[int]]:
        """This epoch's global batches."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths_B), generator=generator)
        order = order[: len(self) * self.batch]
        # A stable sort keeps equal lengths shuffled.
        sorted_ = [
            window[self.lengths_B[window].sort(stable=True).indices]
            for window in order.split(WINDOW * self.batch)
        ]
        batches = torch.cat(sorted_).view(-1, self.batch)
        shuffled = batches[torch.randperm(len(batches), generator=generator)]
        taken: list[list[int]] = shuffled.tolist()
        return taken


class TrainingLoader(DataLoader[Any]):
    """Begins an epoch behind the batches that were trained on: none, or, in a run that is taken up
    inside an epoch, as many as `trained` says."""

    def __init__(
        self, rows: Dataset[Row], batches: TrainingBatches, workers: int, trained: Callable[[], int]
    ) -> None:
        super().__init__(rows, batch_sampler=batches, collate_fn=collate, num_workers=workers)
        self.batches, self.trained = batches, trained

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # Runs when the first batch is asked for: by then Lightning has told the epoch.
        self.batches.skip = self.trained() % len(self.batches)
        yield from super().__iter__()

    def state_dict(self) -> dict[str, int]:
        """Nothing: what Lightning counts is enough, but without this it warns."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        return None
