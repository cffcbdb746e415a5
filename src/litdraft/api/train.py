"""Training a drafter without the command line."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from litdraft.api.load import open_checkpoint_as_target
from litdraft.data.sources.base import Source
from litdraft.data.sources.documents import Documents
from litdraft.data.sources.examples import Example, Segment, Split
from litdraft.data.sources.options import TextOptions
from litdraft.data.sources.target_generated import TargetGenerated
from litdraft.errors import UserError
from litdraft.losses.objective import Objective
from litdraft.protocols import Drafter, Target, Tokenized
from litdraft.quiet import silence_libraries
from litdraft.runs.checkpoints import load_weights
from litdraft.targets.frozen import Frozen
from litdraft.tokenizers.base import Tokenizer
from litdraft.training import run
from litdraft.training.options import (
    BuildOptimizer,
    OpenTarget,
    TrainingOptions,
    TrainingParts,
    adamw,
    lightning_trainer,
)
from litdraft.training.result import TrainingResult


class Texts:
    """Texts in memory as a source of examples."""

    documents = True
    own_splits: frozenset[Split] = frozenset()

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = list(texts)
        if not any(text.strip() for text in self._texts):
            raise UserError("no text was given to train on: give at least one string")

    def facts(self) -> dict[str, Any]:
        digest = hashlib.sha256("\0".join(self._texts).encode()).hexdigest()
        return {"source": "texts", "digest": digest}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        return [Example((Segment(text, response=True),)) for text in self._texts]

    def texts(self) -> Iterator[str]:
        return iter(self._texts)


def train(
    target: Frozen,
    drafter: Drafter,
    data: Source | Sequence[str] | None = None,
    options: TrainingOptions | None = None,
    folder: str | Path = "outputs/api",
    *,
    objective: Objective | None = None,
    optimizer: BuildOptimizer = adamw,
    **trainer: Any,
) -> TrainingResult:
    """Train a drafter on a target's distribution; afterwards it has the weights of the best epoch.

    target: from `load_target`. drafter: a fresh one, not one that was prepared for decoding.
    data: texts to learn from, or a source of them; None: the target writes its own training text.
    objective: by default the KL divergence. trainer: arguments of Lightning's Trainer
    (max_epochs=12, max_steps=..., max_time=...). The run folder holds checkpoints, metrics.csv and
    manifest.json.

    UserError before any work if the parts do not go together.
    """
    if target.tokenizer is None:
        raise UserError("the target has no tokenizer: open it with litdraft.load_target")
    tokenizer, open_target = target.tokenizer, _eager(target)
    if isinstance(drafter, Tokenized):
        drafter.set_tokenizer(tokenizer)
    parts = TrainingParts(
        open_target=open_target,
        build_drafter=lambda spec, tokenizer: drafter,
        open_tokenizer=lambda target, folder: tokenizer,
        build_source=_source(data),
        open_writer=lambda device: target if target.device == device else open_target(device),
        objective=objective or Objective(kl=1.0),
        optimizer=optimizer,
        build_trainer=lambda **given: lightning_trainer(**{**given, **trainer}),
    )
    silence_libraries()
    result = run.train(parts, options or TrainingOptions(), Path(folder))
    load_weights(drafter, Path(folder))
    return result


def _source(data: Source | Sequence[str] | None) -> Callable[[], Source]:
    if data is None:
        return TargetGenerated
    if isinstance(data, Source):
        return lambda: data
    return lambda: Documents(Texts(data), TextOptions())


def _eager(target: Frozen) -> OpenTarget:
    """The same weights as torch alone computes with them, in float32: what gradients need."""

    def open_on(device: torch.device) -> Target:
        if target.packed is None and target.device == device and target.dtype == torch.float32:
            return target
        if target.source is None:
            raise UserError("training needs a float32 target without native operations")
        return open_checkpoint_as_target(target.source, torch.float32, device, native=False)

    return open_on
