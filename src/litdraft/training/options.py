"""What a training run is made of: plain options, and the objects that it needs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn
from torch.optim import Optimizer

from litdraft.data.sources.base import Source
from litdraft.errors import UserError
from litdraft.losses.objective import Objective
from litdraft.protocols import Drafter, Target, TargetSpec
from litdraft.sampling import Sampling
from litdraft.teachers.base import Teacher
from litdraft.teachers.online import Online
from litdraft.tokenizers.base import Tokenizer
from litdraft.training.schedule import warmup_cosine

if TYPE_CHECKING:
    import lightning as L
    from lightning.pytorch.loggers import Logger

OpenTarget = Callable[[torch.device], Target]
BuildDrafter = Callable[[TargetSpec | None, Tokenizer], Drafter]
OpenTokenizer = Callable[[Target | None, Path], Tokenizer]
BuildOptimizer = Callable[[Iterator[nn.Parameter]], Optimizer]
Schedule = Callable[[int, int], float]


@dataclass(frozen=True)
class LoaderOptions:
    """How rows are batched, and what is validated: the keys of conf/data_loader.yaml."""

    batch_size: int = 16
    pack: bool = False
    workers: int = 0
    validation_prompts: int = 32
    validation_tokens: int = 128
    preview: int = 0
    cache: str | Path = "outputs/cache"

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.validation_prompts < 1 or self.workers < 0:
            raise UserError(
                f"data.batch_size={self.batch_size} and data.validation_prompts="
                f"{self.validation_prompts} must be at least 1, and data.workers={self.workers} "
                "at least 0"
            )


@dataclass(frozen=True)
class TrainingOptions:
    """Plain choices of a training run.

    k: draft tokens per round. sampling: how the drafter will be used. save_minutes: between
    checkpoints inside an epoch. probe_prompts: how many prompts the real loop decodes after each
    epoch. config: plain data that goes into the checkpoints and manifest.json.
    """

    k: int = 3
    seed: int = 0
    devices: int = 1
    accelerator: str = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    resume: bool = False
    save_minutes: float = 5.0
    probe_prompts: int = 8
    loader: LoaderOptions = field(default_factory=LoaderOptions)
    config: Mapping[str, Any] = field(default_factory=dict)


def adamw(parameters: Iterator[nn.Parameter]) -> Optimizer:
    """The default of conf/optimizer/adamw.yaml."""
    return torch.optim.AdamW(parameters, lr=1e-3, weight_decay=0.01)


def lightning_trainer(**options: Any) -> L.Trainer:
    """A Lightning trainer with the settings that training relies on; `options` win."""
    import lightning as L

    defaults: dict[str, Any] = {
        "max_epochs": 12,
        "gradient_clip_val": 1.0,
        "log_every_n_steps": 10,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "inference_mode": False,  # buffers made in validation are used in training
        "use_distributed_sampler": False,  # rows are dealt out by litdraft.data
    }
    return L.Trainer(**{**defaults, **options})


@dataclass(frozen=True)
class TrainingParts:
    """The objects of a training run, or what makes them once the run knows on which device.

    open_target is None for a language model that learns from text alone; open_writer opens the
    target that writes text, if that is another one than the one that teaches. load_start fills the
    drafter with the weights of an earlier run.
    """

    open_target: OpenTarget | None
    build_drafter: BuildDrafter
    open_tokenizer: OpenTokenizer
    build_source: Callable[[], Source]
    open_writer: OpenTarget | None = None
    teacher: Teacher = field(default_factory=Online)
    teacher_path: str | None = None
    objective: Objective = field(default_factory=lambda: Objective(kl=1.0))
    optimizer: BuildOptimizer = adamw
    schedule: Schedule = warmup_cosine
    build_trainer: Callable[..., L.Trainer] = lightning_trainer
    build_loggers: Callable[[Path], list[Logger]] = lambda folder: []
    load_start: Callable[[Drafter], None] | None = None
