"""The LightningModule: a drafter that learns, beside a frozen target that does not."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from litdraft.acceptance.replay import Replay, replay_batch
from litdraft.data.rows.batches import Batch
from litdraft.losses.objective import Objective, Sums
from litdraft.protocols import (
    Drafter,
    Target,
    TargetOutput,
    TargetSpec,
    Trainable,
    TrainingBatch,
    Unregistered,
    check_length,
)
from litdraft.sampling import Sampling
from litdraft.teachers.base import Teacher
from litdraft.teachers.online import Online
from litdraft.training.checks import check_drafter, check_objective
from litdraft.training.options import BuildOptimizer, OpenTarget, Schedule

BuildOwnDrafter = Callable[[TargetSpec | None], Drafter]


class DrafterModule(L.LightningModule):
    """Trains a drafter on the target's distribution, or, without a target, on the text itself.

    The target stays outside the module registry: it is neither saved nor moved, broadcast or
    trained. `config` is plain data, kept in every checkpoint.
    """

    drafter: Trainable

    def __init__(
        self,
        build_drafter: BuildOwnDrafter,
        open_target: OpenTarget | None,
        objective: Objective,
        optimizer: BuildOptimizer,
        schedule: Schedule,
        *,
        k: int,
        sampling: Sampling,
        config: Mapping[str, Any],
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self.save_hyperparameters({"config": dict(config)})
        self._build_drafter, self._open_target = build_drafter, open_target
        self.teacher: Teacher = teacher or Online()
        self.objective, self.k, self.sampling = objective, k, sampling
        self._optimizer, self._schedule = optimizer, schedule
        self.starts_trained = False  # with the weights of another run
        self._target: Unregistered[Target] | None = None
        self.epoch_counts = torch.zeros(2)  # of training: expected accepted drafts, and drafts
        self._replay = Replay.zero(k)
        self._validation = torch.zeros(2)

    @property
    def target(self) -> Target | None:
        return None if self._target is None else self._target.value

    @property
    def parameters_trained(self) -> int:
        return sum(p.numel() for p in self.drafter.parameters() if p.requires_grad)

    @property
    def monitor(self) -> tuple[str, str]:
        """What decides which checkpoint is best, and in which direction."""
        if self._open_target is None:
            return "val/loss", "min"
        return "val/mean_acceptance_length", "max"

    def configure_model(self) -> None:
        """Called before every fit and validation; builds once."""
        if "drafter" in self._modules:
            return
        check_objective(self.objective, has_target=self._open_target is not None)
        if self._open_target is not None:
            self._target = Unregistered(self._open_target(self.device))
        drafter = self._build_drafter(self.target.spec if self.target else None)
        check_length(drafter, self.k)
        check_drafter(drafter, self.teacher, has_target=self.target is not None)
        assert isinstance(drafter, Trainable)
        self.drafter = drafter
        if self.target is not None:
            self.drafter.bind(self.target)

    def on_fit_start(self) -> None:
        if self.target is None:
            return
        # The vocabulary came with the weights of a resumed run, or of the one it starts from.
        if self.starts_trained or self.trainer.ckpt_path is not None:
            self.drafter.bind(self.target)
        else:
            text: Any = self.trainer.datamodule  # type: ignore[attr-defined]
            size = self.target.spec.vocabulary
            self.drafter.prepare(lambda: text.counts_V(size).to(self.device))

    def on_train_epoch_start(self) -> None:
        self.epoch_counts = torch.zeros(2, device=self.device)

    def training_step(self, batch: Batch, _: int) -> Tensor:
        sums = self.sums(batch)
        loss = sums.loss * self.world_size
        self.log("train/loss", loss.detach())
        # One process's estimate: what all of them see is in the validation.
        counts = torch.stack((sums.acceptance_K.sum(), sums.count_K.sum())).detach()
        self.epoch_counts += counts
        self.log("train/acceptance", counts[0] / counts[1].clamp_min(1))
        return loss

    @property
    def world_size(self) -> int:
        return 1 if self._trainer is None else self.trainer.world_size

    def shared(self, count_K: Tensor) -> Tensor:
        """Counts summed over processes while training, so that N of them train as one would.
        Validation deals out unequal shares of batches, and weighs nothing."""
        if self._trainer is None or not self.training or self.trainer.world_size == 1:
            return count_K
        total: Tensor = self.trainer.strategy.reduce(count_K.clone(), reduce_op="sum")
        return total

    def sums(self, batch: Batch) -> Sums:
        """Loss, count and acceptance per draft position over one batch."""
        target, output = self.target, None
        if target is not None:
            output = self.teacher.output(target, batch, self.drafter.needs.taps)
        training_batch = self.training_batch(batch, output)
        states_BSKC = self.drafter.states(training_batch)
        teacher = None if target is None else self.teacher.logits(target, batch, output)
        sums = self.objective.sums(
            states_BSKC,
            self.drafter,
            teacher,
            batch.tokens_BT[:, 1:],
            training_batch.trained_BS,
            lead=0 if target is None else 1,
            vocabulary_U=self.drafter.vocabulary_U,
            start_BS=self.starts(training_batch),
            shared=self.shared,
        )
        own = (
            None if teacher is None else self.drafter.own_loss(states_BSKC, training_batch, teacher)
        )
        # A mean over this process's positions; the others are sums over all processes.
        return sums if own is None else sums._replace(loss=sums.loss + own / self.world_size)

    def starts(self, training_batch: TrainingBatch) -> Tensor | None:
        """Where the text begins after which drafts may start: a decoder's begins after its source,
        from whose hidden states no draft starts."""
        if (
            self.target is None
            or self.target.spec.encoder_decoder is None
            or training_batch.prompt_B is None
        ):
            return training_batch.start_BS
        return (training_batch.prompt_B - 1)[:, None].expand_as(training_batch.trained_BS)

    def training_batch(self, batch: Batch, output: TargetOutput | None) -> TrainingBatch:
        """The batch as the target reads it; the trained tokens after the first are labels."""
        return TrainingBatch(
            batch.tokens_BT,
            batch.trained_BT[:, 1:],
            None if output is None else output.hidden_BPD,
            None if output is None else output.taps_BPC,
            self.k,
            None if batch.start_BT is None else batch.start_BT[:, :-1],
            batch.prompt_B,
        )

    def on_validation_epoch_start(self) -> None:
        self._replay = Replay.zero(self.k)
        self._validation = torch.zeros(2, device=self.device)

    def validation_step(self, batch: Batch, _: int) -> None:
        if self.target is not None:
            self._replay += replay_batch(self.target, self.drafter, batch, self.k, self.sampling)
        else:
            sums = self.sums(batch)
            self._validation += torch.stack((sums.loss_K.sum(), sums.count_K.sum()))

    def on_validation_epoch_end(self) -> None:
        totals = self._validation if self.target is None else self._replay.totals()
        if self.trainer.world_size > 1:
            totals = self.trainer.strategy.reduce(totals.to(self.device), reduce_op="sum")
        if self.target is None:
            self.log("val/loss", totals[0] / totals[1], rank_zero_only=True)
            return
        replay = Replay.of_totals(totals)
        self.log("val/mean_acceptance_length", replay.mean_acceptance_length)
        for j, rate in enumerate(replay.conditional_K.tolist(), start=1):
            self.log(f"val/conditional_acceptance_{j}", rate)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        trained = (p for p in self.drafter.parameters() if p.requires_grad)
        optimizer = self._optimizer(trained)
        total = int(self.trainer.estimated_stepping_batches)
        scheduler = LambdaLR(optimizer, lambda step: self._schedule(step, total))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }
