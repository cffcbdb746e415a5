"""What training promises: a frozen target, plain checkpoints, resuming without a seam."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch
from tests.fakes import random_target
from tests.training.runs import fitted

from litdraft.drafters.lstm import LSTM
from litdraft.protocols import Drafter, TargetSpec
from litdraft.training.callbacks import inside_epochs
from litdraft.training.schedule import constant, warmup_cosine


def small(spec: TargetSpec) -> Drafter:
    return LSTM(spec, width=12)


@pytest.mark.parametrize("loss", ["kl", "ce"])
def test_the_drafter_learns_and_the_target_does_not(tmp_path: Path, loss: str) -> None:
    target = random_target(seed=2, dtype=torch.float32)
    weights = {name: weight.clone() for name, weight in target.model.named_parameters()}
    module, before = fitted(target, small, tmp_path, epochs=5, loss=loss)
    after = float(module.trainer.callback_metrics["val/mean_acceptance_length"])
    assert after > before + 0.1
    assert all(torch.equal(w, weights[name]) for name, w in target.model.named_parameters())
    assert all(weight.grad is None for weight in target.model.parameters())
    saved = torch.load(tmp_path / "best.ckpt", weights_only=True)
    assert {name.split(".")[0] for name in saved["state_dict"]} == {"drafter"}
    assert set(saved["state_dict"]) == {f"drafter.{n}" for n in module.drafter.state_dict()}
    assert saved["hyper_parameters"] == {"config": {"k": 2}}


@pytest.mark.parametrize("loss", ["kl", "ce"])
def test_a_reduced_vocabulary_is_what_the_text_says_most(tmp_path: Path, loss: str) -> None:
    target = random_target(seed=2, dtype=torch.float32)
    narrow = lambda spec: LSTM(spec, width=12, vocabulary=8)  # noqa: E731
    module, before = fitted(target, narrow, tmp_path, epochs=5, loss=loss)
    text: Any = module.trainer.datamodule  # type: ignore[attr-defined]
    counts_V = text.counts_V(target.spec.vocabulary)
    ids_U = module.drafter.vocabulary_U
    assert ids_U is not None
    assert (ids_U.diff() > 0).all()
    assert counts_V[ids_U].sum() == counts_V.topk(8).values.sum()
    assert torch.equal(
        torch.load(tmp_path / "best.ckpt")["state_dict"]["drafter.head.vocabulary_U"], ids_U
    )
    assert float(module.trainer.callback_metrics["val/mean_acceptance_length"]) > before + 0.05


def test_a_resumed_drafter_keeps_its_vocabulary(tmp_path: Path) -> None:
    """Other text would choose other tokens, for which an own head has not learned."""
    target = random_target(seed=2, dtype=torch.float32)
    narrow = lambda spec: LSTM(spec, width=12, head="own", vocabulary=8)  # noqa: E731
    first, _ = fitted(target, narrow, tmp_path, epochs=1)
    other = random_target(seed=5, dtype=torch.float32)
    last = tmp_path / "last.ckpt"
    again, _ = fitted(other, narrow, tmp_path / "other", epochs=2, resume=last)
    assert first.drafter.vocabulary_U is not None
    assert again.drafter.vocabulary_U is not None
    assert torch.equal(first.drafter.vocabulary_U, again.drafter.vocabulary_U)


def test_two_epochs_and_two_more_are_four(tmp_path: Path) -> None:
    target = random_target(seed=2, dtype=torch.float32)
    whole, _ = fitted(target, small, tmp_path / "whole", epochs=4)
    fitted(target, small, tmp_path / "parts", epochs=2)
    parts, _ = fitted(
        target, small, tmp_path / "parts", epochs=4, resume=tmp_path / "parts" / "last.ckpt"
    )
    for name, weight in whole.drafter.state_dict().items():
        assert torch.equal(weight, parts.drafter.state_dict()[name]), name


class Fails(L.Callback):
    """Dies before a step, as a machine does."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: L.Trainer, *_: Any) -> None:
        if trainer.global_step == self.step:
            raise ConnectionError("gone")


@pytest.mark.parametrize("step", [3, 8, 13])
def test_a_run_that_ends_inside_an_epoch_goes_on_there(tmp_path: Path, step: int) -> None:
    """Eight batches an epoch: inside the first, between two, inside the second."""
    target = random_target(seed=2, dtype=torch.float32)
    whole, _ = fitted(target, small, tmp_path / "whole", epochs=3)
    parts = tmp_path / "parts"
    saving = inside_epochs(parts, "last", minutes=0)
    with pytest.raises(ConnectionError):
        fitted(target, small, parts, epochs=3, callbacks=[saving, Fails(step)])
    saving = inside_epochs(parts, "last", minutes=0)
    again, _ = fitted(
        target, small, parts, epochs=3, resume=parts / "last.ckpt", callbacks=[saving]
    )
    assert again.trainer.global_step == whole.trainer.global_step == 24
    for name, weight in whole.drafter.state_dict().items():
        assert torch.equal(weight, again.drafter.state_dict()[name]), name


def test_schedules() -> None:
    rates = [warmup_cosine(step, 100, warmup=0.1, floor=0.2) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.2)
    assert rates[55] == pytest.approx(0.2 + 0.8 * 0.5 * (1 + math.cos(math.pi * 0.5)))
    assert constant(50, 100) == 1.0
