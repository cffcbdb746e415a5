"""What a finished training leaves in its run folder beside the checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from litdraft.checkpoints.load import save_language_model
from litdraft.io import write_json
from litdraft.reports.provenance import provenance
from litdraft.runs.status import MANIFEST
from litdraft.tokenizers.base import Tokenizer
from litdraft.training.module import DrafterModule
from litdraft.training.options import TrainingOptions
from litdraft.training.result import TrainingResult


def write_manifest(result: TrainingResult, options: TrainingOptions, module: DrafterModule) -> None:
    """manifest.json: the score, what was trained, with which config, where and by which code."""
    write_json(
        result.folder / MANIFEST,
        {
            result.monitor: result.score,
            "parameters": result.parameters,
            "training_seconds": result.seconds,  # of all its runs, validation included
            "target": None if module.target is None else module.target.spec.name,
            "config": dict(options.config),
            **vars(provenance(module.device)),
        },
    )


def save_language_model_of(
    module: DrafterModule, best: Path, folder: Path, tokenizer: Tokenizer
) -> None:
    """Write a drafter that is a language model as a checkpoint folder, model/: it can be a target.

    Its weights are those of the best checkpoint.
    """
    state = torch.load(best, map_location="cpu", weights_only=True)["state_dict"]
    module.load_state_dict(state)
    model: Any = module.drafter.model
    extra = [folder / "tokenizer.model"]
    ends = () if tokenizer.eos is None else (tokenizer.eos,)
    save_language_model(model, folder / "model", tokenizer.bos, ends, extra)
