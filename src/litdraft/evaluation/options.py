"""What an evaluation is made from: objects and factories, and plain options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from litdraft.data.sources.base import Source
from litdraft.errors import UserError
from litdraft.limits import LONGEST_DRAFT
from litdraft.protocols import Drafter, Target, TargetSpec
from litdraft.sampling import Sampling
from litdraft.tokenizers.base import Tokenizer

if TYPE_CHECKING:
    from litdraft.evaluation.modes import Mode


@dataclass(frozen=True)
class EvaluationParts:
    """Nothing is opened before it is needed, so that bad input is found first.

    open_target(dtype, device, native): the target; dtype None: the fastest; native: with native
    operations, if they can be built. The same arguments may give the same object.
    open_tokenizer(target): its tokenizer, checked against its vocabulary.
    build_drafter(spec, tokenizer): the drafter to evaluate, with its weights.
    build_untrained(spec, tokenizer): the same family as it was before training, for the floor;
    None for one that has nothing to train.
    open_source(): where prompts come from; texts that the target writes are kept in `cache`.
    training_seconds: what training took, for the report, if known.
    """

    open_target: Callable[[torch.dtype | None, torch.device, bool], Target]
    open_tokenizer: Callable[[Target], Tokenizer]
    build_drafter: Callable[[TargetSpec, Tokenizer], Drafter]
    build_untrained: Callable[[TargetSpec, Tokenizer], Drafter | None]
    open_source: Callable[[], Source]
    mode: Mode
    cache: Path
    training_seconds: float | None = None


@dataclass(frozen=True)
class EvaluationOptions:
    """Plain choices. `k` None: the fastest by measured costs; `dtype` None: as the checkpoint is
    stored, if that is fast; `compile` None: if it is expected to save time."""

    k: int | None = 3
    sampling: Sampling = field(default_factory=Sampling)
    prompts: int = 32
    max_new_tokens: int = 128
    batch: int = 1
    repeats: int = 1
    seed: int = 0
    dtype: torch.dtype | None = None
    native: bool = True
    compile: bool | None = None
    devices: int = 1

    def __post_init__(self) -> None:
        for name in ("k", "prompts", "max_new_tokens", "batch", "repeats", "devices"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}={value} was given, but {name} must be at least 1")

    @property
    def samplings(self) -> tuple[Sampling, Sampling]:
        """The one that was asked for, then the other one: greedy or temperature 1."""
        other = 1.0 if self.sampling.greedy else 0.0
        return self.sampling, replace(self.sampling, temperature=other)

    @property
    def longest_draft(self) -> int:
        """The largest k that may be decoded with."""
        return LONGEST_DRAFT if self.k is None else self.k
