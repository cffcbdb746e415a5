"""Short training runs on a random target, as the tests need them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

from litdraft.data.sources.target_generated import TargetGenerated
from litdraft.losses.objective import Objective
from litdraft.protocols import Drafter, TargetSpec
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.base import Tokenizer
from litdraft.training.datamodule import TextModule
from litdraft.training.module import DrafterModule
from litdraft.training.options import LoaderOptions
from litdraft.training.schedule import constant


class NoTokenizer(Tokenizer):
    """Nothing here has letters."""

    size, bos, eos = 0, None, None

    def piece(self, token: int) -> str:
        raise IndexError

    def _encode(self, text: str) -> list[int]:
        raise AssertionError

    def _decode(self, ids: list[int]) -> str:
        raise AssertionError


def data_of(
    target: LlamaTarget, folder: Path, sampling: Sampling, batch_size: int = 8
) -> TextModule:
    source = TargetGenerated(samples=64, length=32, opening=4)
    return TextModule(
        source, NoTokenizer(), lambda device: target, sampling=sampling,
        loader=LoaderOptions(batch_size=batch_size, validation_prompts=8, validation_tokens=24,
                             cache=folder / "cache"),
    )  # fmt: skip


def module_of(
    target: LlamaTarget, family: Callable[[TargetSpec], Drafter], k: int, sampling: Sampling,
    loss: str = "kl",
) -> DrafterModule:  # fmt: skip
    weights: dict[str, Any] = {loss: 1.0}
    return DrafterModule(
        lambda spec: family(spec),  # type: ignore[arg-type]
        lambda device: target,
        Objective(**weights),
        partial(torch.optim.AdamW, lr=0.02),
        constant,
        k=k, sampling=sampling, config={"k": k},
    )  # fmt: skip


def trainer_of(folder: Path, epochs: int, *more: L.Callback, **options: Any) -> L.Trainer:
    checkpoint = ModelCheckpoint(
        dirpath=folder, filename="best", save_last=True, enable_version_counter=False,
        monitor="val/mean_acceptance_length", mode="max", save_on_train_epoch_end=False,
    )  # fmt: skip
    return L.Trainer(
        max_epochs=epochs, accelerator="cpu", logger=False, callbacks=[checkpoint, *more],
        enable_progress_bar=False, enable_model_summary=False, num_sanity_val_steps=0,
        inference_mode=False, use_distributed_sampler=False, **options,
    )  # fmt: skip


def fitted(
    target: LlamaTarget,
    family: Callable[[TargetSpec], Drafter],
    folder: Path,
    *,
    k: int = 2,
    sampling: Sampling | None = None,
    epochs: int = 2,
    resume: Path | None = None,
    loss: str = "kl",
    callbacks: Sequence[L.Callback] = (),
) -> tuple[DrafterModule, float]:
    """A trained module, and the mean acceptance length it had before."""
    sampling = sampling or Sampling()
    L.seed_everything(7, verbose=False)
    data = data_of(target, folder, sampling)
    module = module_of(target, family, k, sampling, loss)
    trainer = trainer_of(folder, epochs)
    before = trainer.validate(module, data, verbose=False)[0]["val/mean_acceptance_length"]
    trainer = trainer_of(folder, epochs, *callbacks)
    trainer.fit(module, data, ckpt_path=resume, weights_only=True)
    return module, before
