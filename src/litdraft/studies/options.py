"""What a certainty study is made from: objects and factories, and plain options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from litdraft.data.sources.base import Source
from litdraft.protocols import Target, TargetSpec
from litdraft.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class StudyParts:
    """open_target and open_tokenizer as in `evaluation.options`. open_source(spec, max_new_tokens):
    where texts come from, whose prompts leave space for so many tokens; texts that the target
    writes are kept in `cache`."""

    open_target: Callable[[torch.dtype | None, torch.device, bool], Target]
    open_tokenizer: Callable[[Target], Tokenizer]
    open_source: Callable[[TargetSpec, int], Source]
    cache: Path


@dataclass(frozen=True)
class StudyOptions:
    """`dtype` None: as the checkpoint is stored, if that is fast."""

    prompts: int = 32
    max_new_tokens: int = 128
    seed: int = 0
    dtype: torch.dtype | None = None
    native: bool = True
