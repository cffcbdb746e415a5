"""LitDraft: train a small drafter for your large language model, and measure what it buys you.

The public API. Everything is imported when it is first used, so that `import litdraft` is fast:

    target = litdraft.load_target("tiny")
    drafter = litdraft.load_drafter("outputs/run", target)
    decoder = litdraft.SpeculativeDecoder(target, drafter, k=4)
    print(decoder.generate(["Once upon a time"]).texts[0])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from litdraft import drafters
    from litdraft.api.decoder import Chunk, Decoded, SpeculativeDecoder
    from litdraft.api.evaluate import evaluate
    from litdraft.api.load import load_drafter, load_target
    from litdraft.api.train import train
    from litdraft.data.sources.target_generated import TargetGenerated
    from litdraft.errors import UserError
    from litdraft.evaluation.options import EvaluationOptions
    from litdraft.reports.schema import Report
    from litdraft.sampling import Sampling
    from litdraft.training.options import LoaderOptions, TrainingOptions
    from litdraft.training.result import TrainingResult

_HOMES = {
    "Chunk": "litdraft.api.decoder",
    "Decoded": "litdraft.api.decoder",
    "EvaluationOptions": "litdraft.evaluation.options",
    "LoaderOptions": "litdraft.training.options",
    "Report": "litdraft.reports.schema",
    "Sampling": "litdraft.sampling",
    "SpeculativeDecoder": "litdraft.api.decoder",
    "TargetGenerated": "litdraft.data.sources.target_generated",
    "TrainingOptions": "litdraft.training.options",
    "TrainingResult": "litdraft.training.result",
    "UserError": "litdraft.errors",
    "evaluate": "litdraft.api.evaluate",
    "load_drafter": "litdraft.api.load",
    "load_target": "litdraft.api.load",
    "train": "litdraft.api.train",
}
__all__ = [
    "Chunk",
    "Decoded",
    "EvaluationOptions",
    "LoaderOptions",
    "Report",
    "Sampling",
    "SpeculativeDecoder",
    "TargetGenerated",
    "TrainingOptions",
    "TrainingResult",
    "UserError",
    "drafters",
    "evaluate",
    "load_drafter",
    "load_target",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
    elif name == "drafters":
        value = importlib.import_module("litdraft.drafters")
    else:
        raise AttributeError(f"module 'litdraft' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
