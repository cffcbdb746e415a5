"""The LightningDataModule: one source of text, dealt out to the processes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from litdraft.data.continuations import Writer
from litdraft.data.distributed import Distributed
from litdraft.data.rows.batches import TrainingBatches, TrainingLoader, collate
from litdraft.data.rows.packed import Packed
from litdraft.data.rows.rows import Row, Rows
from litdraft.data.sources.base import Materials, Source
from litdraft.decoding.batching import decode_capacity
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout
from litdraft.sampling import Sampling
from litdraft.teachers.base import Teacher
from litdraft.teachers.cache import TeacherCache
from litdraft.teachers.online import Online
from litdraft.tokenizers.base import Tokenizer
from litdraft.training.options import LoaderOptions, OpenTarget

BEFORE = 4  # tokens before a stretch that a counted drafter sees as its history


class TextModule(L.LightningDataModule):
    """Rows to train on, and validation text: held-out prompts as the target continues them.

    The target writes under `sampling`, the way in which the drafter will be used, because only
    the target's own text can show what it would accept. Without a target the held-out rows
    themselves are the validation text. `open_writer` opens the target that writes, if that is
    another one than the teacher that training asks: the same weights, faster. `encoder_decoder` is
    the row layout of an encoder-decoder that learns without a target.
    """

    def __init__(
        self,
        source: Source,
        tokenizer: Tokenizer,
        open_target: OpenTarget | None,
        *,
        loader: LoaderOptions,
        open_writer: OpenTarget | None = None,
        teacher: Teacher | None = None,
        taps: tuple[int, ...] = (),
        teacher_path: str | None = None,
        k: int = 0,
        sampling: Sampling | None = None,
        seed: int = 0,
        encoder_decoder: EncoderDecoderLayout | None = None,
    ) -> None:
        super().__init__()
        self.source, self.tokenizer, self.open_target = source, tokenizer, open_target
        self.open_writer = open_writer or open_target
        self.teacher, self.taps = teacher or Online(), taps
        self.teacher_path = teacher_path
        self.loader, self.seed = loader, seed
        self.capacity = decode_capacity(loader.validation_tokens, k)
        self.sampling = sampling or Sampling()
        self.cache, self.encoder_decoder = Path(loader.cache), encoder_decoder
        self._training: Rows | None = None
        self._validation: Rows | None = None
        self._taught: Dataset[Row] | None = None

    def setup(self, stage: str) -> None:
        """Every process reads and writes its share of what is not in the cache yet."""
        if self._training is not None:
            return
        materials = self.materials()
        distributed = materials.distributed
        held_out = self.source.held_out(
            materials, "validation", self.loader.validation_prompts, self.capacity
        )
        if min(len(held_out), self.loader.batch_size) < distributed.world:
            raise UserError(
                f"{len(held_out)} validation prompts in batches of {self.loader.batch_size} cannot "
                f"feed {distributed.world} devices: raise data.validation_prompts or "
                "data.batch_size"
            )
        self._training = self.source.training(materials)
        if materials.writer is not None:
            held_out = materials.writer.write(
                held_out.prompts(), self.loader.validation_tokens, self.sampling
            )
        self._validation = held_out
        if self.teacher.cached and self.open_target is not None:
            self._taught = TeacherCache(
                self._training,
                self.teacher,
                self.open_target(self._device),
                self.taps,
                self.cache,
                materials.distributed,
                self.teacher_path,
            )

    @property
    def training(self) -> Rows:
        assert self._training is not None
        return self._training

    def train_dataloader(self) -> DataLoader[Any]:
        assert self.trainer is not None
        trainer = self.trainer
        rank, world = trainer.global_rank, trainer.world_size
        rows, lengths_B = self._taught or self.training, self.training.lengths_B
        if self.loader.pack:
            rows = packed = Packed(rows, lengths_B, int(lengths_B.max()))
            lengths_B = packed.lengths_B
        if len(lengths_B) < world:
            raise UserError(
                f"{len(lengths_B)} rows cannot feed {world} devices: raise data.samples"
            )
        batches = TrainingBatches(lengths_B, self.loader.batch_size, self.seed, rank, world)

        def trained() -> int:
            progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
            return int(progress.processed)

        return TrainingLoader(rows, batches, self.loader.workers, trained)

    def val_dataloader(self) -> DataLoader[Any]:
        """Every row on exactly one process."""
        assert self._validation is not None
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        mine = Subset(self._validation, range(rank, len(self._validation), world))
        return DataLoader(mine, batch_size=self.loader.batch_size, collate_fn=collate)

    def counts_V(self, vocabulary: int) -> Tensor:
        """How often each token stands in the text to train on."""
        return self.training.counts_V(vocabulary)

    def texts(self) -> Iterator[Tensor]:
        """tokens_T of every stretch to train on, with a few tokens before it."""
        for row in map(self.training.__getitem__, range(len(self.training))):
            edges = row.trained_T.long().diff(prepend=torch.zeros(1), append=torch.zeros(1))
            begins, ends = ((edges == sign).nonzero()[:, 0].tolist() for sign in (1, -1))
            for begin, end in zip(begins, ends, strict=True):
                yield row.tokens_T[max(begin - BEFORE, 0) : end]

    def prompts(self) -> list[list[int]]:
        """The prompts of the validation text."""
        assert self._validation is not None
        return self._validation.prompts()

    @property
    def _device(self) -> torch.device:
        return self.trainer.strategy.root_device if self.trainer else torch.device("cpu")

    def materials(self) -> Materials:
        """The source's materials; opens the target where this process runs."""
        distributed = Distributed()
        if self.trainer is not None:
            trainer = self.trainer
            strategy = trainer.strategy
            distributed = Distributed(
                trainer.global_rank, trainer.world_size, strategy.barrier, strategy.broadcast
            )
        if self.open_writer is None:
            return Materials(
                self.tokenizer,
                self.cache,
                distributed=distributed,
                encoder_decoder=self.encoder_decoder,
            )
        target = self.open_writer(self._device)
        return Materials.of(
            self.tokenizer, Writer(target, self.cache, self.seed, distributed=distributed)
        )
