"""The LightningDataModule: one source of text, dealt out to the processes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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
from litdraft.protocols import EncoderDecoderLayout, Target
from litdraft.sampling import Sampling
from litdraft.teachers.base import Teacher
from litdraft.teachers.cache import TeacherCache
from litdraft.teachers.online import Online
from litdraft.tokenizers.base import Tokenizer

BEFORE = 4  # tokens before a stretch that a counted drafter sees as its history

OpenTarget = Callable[[torch.device], Target]


class TextModule(L.LightningDataModule):
    """Rows to train on, and validation text: held-out prompts as the target continues them.

    The target writes under `sampling`, the way in which the drafter will be used, because only
    the target's own text can tell what it would accept. Without a target the held-out rows
    themselves are the validation text. `open_writer` opens the target that writes, where that is
    another one than the teacher that training asks: the same weights, faster. `sides` lays out the
    rows of an encoder-decoder that learns without a target.
    """

    def __init__(
        self,
        source: Source,
        tokenizer: Tokenizer,
        open_target: OpenTarget | None,
        *,
        batch_size: int,
        open_writer: OpenTarget | None = None,
        teacher: Teacher | None = None,
        taps: tuple[int, ...] = (),
        teacher_path: str | None = None,
        pack: bool = False,
        workers: int = 0,
        validation_prompts: int = 32,
        max_new_tokens: int = 128,
        k: int = 0,
        sampling: Sampling | None = None,
        cache: str | Path = "outputs/cache",
        seed: int = 0,
        encoder_decoder: EncoderDecoderLayout | None = None,
    ) -> None:
        super().__init__()
        if batch_size < 1 or validation_prompts < 1 or workers < 0:
            raise UserError(
                f"data.batch_size={batch_size} and data.validation_prompts={validation_prompts} "
                f"must be at least 1, and data.workers={workers} at least 0"
            )
        self.source, self.tokenizer, self.open_target = source, tokenizer, open_target
        self.open_writer = open_writer or open_target
        self.teacher, self.taps = teacher or Online(), taps
        self.teacher_path = teacher_path
        self.batch_size, self.seed = batch_size, seed
        self.pack, self.workers = pack, workers
        self.validation_prompts, self.max_new_tokens = validation_prompts, max_new_tokens
        self.capacity = decode_capacity(max_new_tokens, k)
        self.sampling = sampling or Sampling()
        self.cache, self.encoder_decoder = Path(cache), encoder_decoder
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
            materials, "validation", self.validation_prompts, self.capacity
        )
        if min(len(held_out), self.batch_size) < distributed.world:
            raise UserError(
                f"{len(held_out)} validation prompts in batches of {self.batch_size} cannot feed "
                f"{distributed.world} devices: raise data.validation_prompts or data.batch_size"
            )
        self._training = self.source.training(materials)
        if materials.writer is not None:
            held_out = materials.writer.write(
                held_out.prompts(), self.max_new_tokens, self.sampling
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
        if self.pack:
            rows = packed = Packed(rows, lengths_B, int(lengths_B.max()))
            lengths_B = packed.lengths_B
        if len(lengths_B) < world:
            raise UserError(
                f"{len(lengths_B)} rows cannot feed {world} devices: raise data.samples"
            )
        batches = TrainingBatches(lengths_B, self.batch_size, self.seed, rank, world)

        def trained() -> int:
            progress: Any = trainer.fit_loop.epoch_loop.batch_progress.current
            return int(progress.processed)

        return TrainingLoader(rows, batches, self.workers, trained)

    def val_dataloader(self) -> DataLoader[Any]:
        """Every row on exactly one process."""
        assert self._validation is not None
        assert self.trainer is not None
        rank, world = self.trainer.global_rank, self.trainer.world_size
        mine = Subset(self._validation, range(rank, len(self._validation), world))
        return DataLoader(mine, batch_size=self.batch_size, collate_fn=collate)

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
