"""What a person sees while training: one line per epoch, no wider than 80 columns."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import torch
from rich.console import Console
from tests.fakes import random_target
from tests.training.runs import fitted

from litdraft.drafters.lstm import LSTM
from litdraft.training.options import TrainingOptions
from litdraft.training.progress import HEAD, EpochLines, show_summary


def test_one_line_per_epoch(tmp_path: Path) -> None:
    out = StringIO()
    console = Console(file=out, width=80, soft_wrap=True)
    module, _ = fitted(
        random_target(seed=2, dtype=torch.float32), lambda spec: LSTM(spec, width=12), tmp_path,
        epochs=2, callbacks=[EpochLines(console)],
    )  # fmt: skip
    show_summary(console, module, TrainingOptions(k=2))
    data, head, *epochs, device, target, drafter = out.getvalue().splitlines()
    assert data.startswith("data     64 rows of up to 32 tokens, ")
    assert [name for name in HEAD if name in head] == list(HEAD)
    assert [line.split()[0] for line in epochs] == ["1/2", "2/2"]
    shown = float(epochs[-1].split()[4])
    length = float(module.trainer.callback_metrics["val/mean_acceptance_length"])
    assert abs(shown - length) < 1e-3
    assert epochs[-1].endswith("0:00"), "nothing is left"
    assert max(map(len, out.getvalue().splitlines())) <= 80
    assert device == "device   cpu"
    assert target.startswith("target   random: ")
    assert drafter.endswith(f"{module.parameters_trained:,} parameters to train, k=2")
