"""From rows to batches: in a fixed order, with rows of similar length, resumable."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, Sampler

from litdraft.data.rows.rows import Row

WINDOW = 16  # batches whose rows are sorted by length together


class Batch(NamedTuple):
    """Right-padded rows; the first prompt_B tokens of each are the prompt. See `rows.Row`."""

    tokens_BT: Tensor
    length_B: Tensor
    prompt_B: Tensor
    trained_BT: Tensor
    start_BT: Tensor | None = None
    teacher_outputs: dict[str, Tensor] | None = None


def collate(rows: Sequence[Row]) -> Batch:
    """Pad on the right with zeros; the padding is never read."""
    longest = max(len(row.tokens_T) for row in rows)
    # Padding counts as a separate text; otherwise it would extend a packed row's last text.
    starts = [
        F.pad(row.start_T, (0, longest - len(row.start_T)), value=len(row.start_T))
        for row in rows
        if row.start_T is not None
    ]
    teacher_outputs = [row.teacher_outputs for row in rows if row.teacher_outputs is not None]
    padded = {
        name: pad_sequence([some[name] for some in teacher_outputs], batch_first=True)
        for name in (teacher_outputs[0] if teacher_outputs else ())
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
    """This process's rows of shuffled global batches, each of rows of similar length.

    The order depends only on (seed, epoch), and the processes take the rows of a global batch in
    turn, so N processes together see what one would see. An incomplete last batch is left out,
    unless it is the only one. A resumed run skips the first `skip` batches.
    """

    def __init__(
        self, lengths_B: Tensor, batch: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        self.lengths_B, self.seed = lengths_B, seed
        self.batch = min(batch, len(lengths_B))
        self.rank, self.world = rank, world
        self.epoch = self.skip = 0
        self.sampler = self  # Lightning looks here for `set_epoch`

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning before every epoch, including a resumed one."""
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
        order_lists: list[list[int]] = shuffled.tolist()
        return order_lists


class TrainingLoader(DataLoader[Any]):
    """Starts an epoch after the batches that were already trained on. `trained()`: how many steps
    the run has trained; more than 0 at the first epoch only in a resumed run."""

    def __init__(
        self, rows: Dataset[Row], batches: TrainingBatches, workers: int, trained: Callable[[], int]
    ) -> None:
        super().__init__(rows, batch_sampler=batches, collate_fn=collate, num_workers=workers)
        self.batches, self.trained = batches, trained

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        # Runs when the first batch is requested; Lightning has called `set_epoch` by then.
        self.batches.skip = self.trained() % len(self.batches)
        yield from super().__iter__()

    def state_dict(self) -> dict[str, int]:
        """Empty: what Lightning counts is enough, but without this method it warns."""
        return {}

    def load_state_dict(self, state: dict[str, int]) -> None:
        return None
