"""Every family that learns does learn, in a moment, and comes back from its checkpoint."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fakes import random_target
from tests.training.runs import fitted

from litdraft.drafters.cnn import CNN
from litdraft.drafters.cnn_lm import CNNLM
from litdraft.drafters.lstm_lm import LSTMLM
from litdraft.drafters.matrix import Matrix
from litdraft.drafters.mlp import MLP
from litdraft.drafters.mtp import MTP
from litdraft.drafters.transformer import Transformer
from litdraft.errors import UserError
from litdraft.losses.objective import Objective
from litdraft.protocols import Trainable, TrainingBatch
from litdraft.sampling import Sampling

FAMILIES: dict[str, Callable[..., Trainable]] = {
    "mtp": partial(MTP, heads=2, correction="gru", rank=8),
    "mtp_own": partial(MTP, heads=2, head="own", vocabulary=16),
    "matrix": partial(Matrix, heads=2, correction="gated", rank=8),
    "mlp": partial(MLP, heads=2, width=24),
    "cnn": partial(CNN, layers=1, kernel=3, width=16),
    "cnn_lm": partial(CNNLM, layers=1, kernel=3, width=24),
    "lstm_lm": partial(LSTMLM, width=24, vocabulary=16),
    "transformer": partial(Transformer, begin="target"),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_it_learns_and_comes_back(name: str, tmp_path: Path) -> None:
    target = random_target(seed=2, dtype=torch.float32)
    module, before = fitted(target, FAMILIES[name], tmp_path, epochs=4, sampling=Sampling(1.0))
    after = float(module.trainer.callback_metrics["val/mean_acceptance_length"])
    assert after > before + 0.05
    module.trainer.save_checkpoint(tmp_path / "end.ckpt", weights_only=True)
    saved: dict[str, Any] = torch.load(tmp_path / "end.ckpt", weights_only=True)["state_dict"]
    again = FAMILIES[name](target.spec)
    again.load_state_dict({n.removeprefix("drafter."): w for n, w in saved.items()})
    for key, weight in module.drafter.state_dict().items():
        assert torch.equal(weight, again.state_dict()[key]), key


def test_a_mixed_precision_of_teacher_and_student() -> None:
    """A float64 target teaches a float32 drafter of its own head."""
    target = random_target(seed=2)
    drafter = FAMILIES["mlp"](target.spec)
    drafter.bind(target)
    tokens_BT = torch.randint(2, 24, (2, 9))
    hidden_BSD = target.forward(tokens_BT[:, :-1]).hidden_BPD
    trained_BS = torch.ones(2, 8, dtype=torch.bool)
    flat_nD = hidden_BSD.flatten(0, 1)
    for loss in ("kl", "jsd", "lk_hybrid", "ce"):
        states = drafter.states(TrainingBatch(tokens_BT, trained_BS, hidden_BSD, None, 2))
        weights: dict[str, Any] = {loss: 1.0}
        sums = Objective(**weights).sums(
            states,
            drafter,
            lambda rows: target.unembed(flat_nD[rows]),
            tokens_BT[:, 1:],
            trained_BS,
        )
        sums.loss.backward()
    assert all(weight.grad is not None for weight in drafter.parameters())


def test_more_drafts_than_heads_are_refused(tmp_path: Path) -> None:
    target = random_target(seed=2, dtype=torch.float32)
    with pytest.raises(UserError, match=r"k=3 was given, but this drafter=mtp was made to draft 2"):
        fitted(target, FAMILIES["mtp"], tmp_path, k=3)
