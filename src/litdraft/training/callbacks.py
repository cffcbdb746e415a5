"""What may be left out without changing the loss."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback, ModelCheckpoint
from lightning.pytorch.utilities.exceptions import SIGTERMException
from rich.console import Console

from litdraft.decoding.speculate import Speculate
from litdraft.training.datamodule import TextModule
from litdraft.training.module import DrafterModule


class Probe(Callback):
    """Runs the real decode loop on a few validation prompts, to confirm what replay says.

    Logged as val/probe_mean_acceptance_length, beside val/mean_acceptance_length.
    """

    def __init__(self, data: TextModule, prompts: int) -> None:
        self.data, self.prompts = data, prompts

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, DrafterModule)
        if pl_module.target is None or not trainer.is_global_zero:
            return
        loop = Speculate(
            pl_module.target, pl_module.drafter, pl_module.k, pl_module.sampling, self.data.seed
        )
        prompts = self.data.prompts()[: self.prompts]
        generation = loop.generate(prompts, self.data.loader.validation_tokens)
        accepted = [count for row in generation.accepted for count in row]
        # No round at all: every row ended with the token of the prefill.
        length = 1 + sum(accepted) / len(accepted) if accepted else float("nan")
        pl_module.log("val/probe_mean_acceptance_length", length, rank_zero_only=True)


def inside_epochs(folder: Path, name: str, minutes: float) -> ModelCheckpoint:
    """Saves `name`.ckpt every so many minutes, and when training is interrupted or fails."""
    return ModelCheckpoint(
        dirpath=folder,
        filename=name,
        train_time_interval=timedelta(minutes=minutes),
        save_on_exception=True,
        enable_version_counter=False,
    )


class Interrupted(Callback):
    """Says how to go on where a run was interrupted. Stands behind what saves it."""

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        if trainer.is_global_zero and isinstance(exception, KeyboardInterrupt | SIGTERMException):
            message = f"interrupted after step {trainer.global_step}, and saved"
            Console(stderr=True, highlight=False, soft_wrap=True).print(
                f"\n{message}: the same command with resume=true continues there"
            )


class LastValidation(Callback):
    """Validates once more where max_steps or max_time ended a run inside an epoch, so that its
    last weights are judged and saved as well. Stands before the checkpoint callback."""

    def __init__(self) -> None:
        self.validated = -1

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self.validated = trainer.global_step

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.global_step > self.validated:
            trainer.validating = True
            trainer.fit_loop.epoch_loop.val_loop.run()
            trainer.training = True
