"""The LightningDataModule: one source of text, dealt out to the processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from litdraft.data.continuations import Writer
from litdraft.data.rows import Rows, TrainingBatches, collate
from litdraft.data.source import Materials, Source
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer
from litdraft.protocols import Target
from litdraft.sampling import Sampling

OpenTarget = Callable[[torch.device], Target]


class TextModule(L.LightningDataModule):
    """Rows to train on, and validation text: held-out prompts as the target continues them.

    The target writes under `sampling`, the way in which the drafter will be used, because only
    the target's own text can tell what it would accept. Without a target the held-out rows
    themselves are the validation text.
    """

    def __init__(
        self,
        source: Source,
        tokenizer: Tokenizer,
        open_target: OpenTarget | None,
        *,
        batch_size: int,
        validation_prompts: int = 32,
        max_new_tokens: int = 128,
        sampling: Sampling | None = None,
        cache: str | Path = "outputs/cache",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if batch_size < 1 or validation_prompts < 1:
            raise UserError(
                f"data.batch_size={batch_size} and data.validation_prompts={validation_prompts} "
                "must be at least 1"
            )
        self.source, self.tokenizer, self.open_target = source, tokenizer, open_target
        self.batch_size, self.seed = batch_size, seed
        self.validation_prompts, self.max_new_tokens = validation_prompts, max_new_tokens
        self.sampling = sampling or Sampling()
        self.cache = Path(cache)
        self._training: Rows | None = None
        self._validation: Rows | None = None

    def prepare_data(self) -> None:
        """One process writes what the others will read from the cache."""
        self._read()

    def setup(self, stage: str) -> None:
        if self._training is None:
            self._training, self._validation = self._read()

    def train_dataloader(self) -> DataLoader[object]:
        assert self._training is not None
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        if len(self._training) < world:
            raise UserError(
                f"{len(self._training)} rows cannot feed {world} devices: raise data.samples"
            )
        batches = TrainingBatches(len(self._training), self.batch_size, self.seed, rank, world)
        return DataLoader(self._training, batch_sampler=batches, collate_fn=collate)

    def val_dataloader(self) -> DataLoader[object]:
        """Every row on exactly one process."""
        assert self._validation is not None
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        mine = Subset(self._validation, range(rank, len(self._validation), world))
        return DataLoader(mine, batch_size=self.batch_size, collate_fn=collate)

    def counts_V(self, vocabulary: int) -> Tensor:
        """How often each token stands in the text to train on."""
        assert self._training is not None
        return torch.bincount(self._training.tokens_n, minlength=vocabulary)

    def prompts(self) -> list[list[int]]:
        """The prompts of the validation text."""
        assert self._validation is not None
        return self._validation.prompts()

    def materials(self) -> Materials:
        """The source's materials; opens the target where this process runs."""
        if self.open_target is None:
            return Materials(self.tokenizer)
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        target = self.open_target(device)
        return Materials(self.tokenizer, target, Writer(target, self.cache, self.seed))

    def _read(self) -> tuple[Rows, Rows]:
        materials = self.materials()
        held_out = self.source.held_out(materials, "validation", self.validation_prompts)
        if materials.writer is not None:
            held_out = materials.writer.continued(
                held_out.prompts(), self.max_new_tokens, self.sampling
            )
        return self.source.training(materials), held_out
