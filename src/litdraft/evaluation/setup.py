"""What an evaluation holds, opened and checked from a composed config."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric import Fabric
from omegaconf import DictConfig
from torch import nn

from litdraft.config.build import drafter_of, target_opener, tokenizer_of
from litdraft.config.data import source_of
from litdraft.data.continuations import Writer
from litdraft.data.distributed import Distributed
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Split
from litdraft.decoding.batching import decode_capacity
from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.errors import UserError
from litdraft.evaluation.draft_length import LONGEST
from litdraft.protocols import Drafter, Target, check_length, counts
from litdraft.reports.provenance import provenance
from litdraft.runs.checkpoints import load_weights
from litdraft.runs.open import ready
from litdraft.targets.devices import named_dtype, own_device
from litdraft.tokenizers.base import Tokenizer


@dataclass
class Bench:
    """Everything an evaluation holds."""

    config: DictConfig
    fabric: Fabric
    target: Target
    reference: Callable[[], Target]  # the same weights, eager and in float32, for judging
    drafter: Drafter
    parameters: int  # the drafter's own; of a counted one, all numbers it keeps
    floors: dict[str, Drafter]
    tokenizer: Tokenizer

    def facts(self) -> dict[str, Any]:
        """What was evaluated, and under which keys: part of every report."""
        keys = ("max_new_tokens", "batch", "repeats", "top_k", "top_p", "seed")
        return {
            **{key: self.config[key] for key in keys},
            "target": self.target.spec.name,
            "drafter": self.drafter.name,
            "parameters": self.parameters,
            "dtype": str(self.target.dtype).removeprefix("torch."),
            "fused": self.target.packed is not None,
            **provenance(self.target.device),
        }


def open_bench(config: DictConfig, fabric: Fabric) -> Bench:
    opener = target_opener(config, named_dtype(config.dtype), fused=config.fused)
    exact = target_opener(config, torch.float32)
    if opener is None or exact is None:
        raise UserError("target=null was given: an evaluation needs a target")
    target = opener(own_device())
    # What one process measured as the fastest type holds for all.
    dtype = named_dtype(fabric.broadcast(str(target.dtype)).removeprefix("torch."))
    if target.dtype != dtype and (again := target_opener(config, dtype, fused=config.fused)):
        target = again(own_device())
    eager = target.dtype == torch.float32 and target.packed is None

    def reference() -> Target:
        return target if eager else exact(own_device())

    tokenizer = tokenizer_of(config, target, Path())
    torch.manual_seed(config.seed)
    drafter = drafter_of(config, target.spec, tokenizer)
    untrained = drafter_of(config, target.spec, tokenizer)
    if config.run is not None:
        load_weights(drafter, Path(config.run))
    elif _trainable(drafter) and config.drafter.get("path") is None:
        raise UserError(
            f"{type(drafter).__name__} is untrained: train it with python train.py drafter=... "
            "and evaluate it with run=outputs/..., or choose drafter=lookup"
        )
    if config.k != "auto":
        check_length(drafter, int(config.k))
    floors: dict[str, Drafter] = {}
    if config.prompt is None:  # a streamed one is compared with nothing
        floors["lookup"] = Lookup()
        floors["untrained"] = _fresh(config, untrained, reference, drafter)
    stored = drafter.state_dict().values() if counts(drafter) else drafter.parameters()
    parameters = sum(values.numel() for values in stored)
    for some in (drafter, *floors.values()):
        ready(some, target)
        some.prepare_for_decoding(target.dtype, native=target.packed is not None)
    return Bench(config, fabric, target, reference, drafter, parameters, floors, tokenizer)


def _trainable(drafter: Drafter) -> bool:
    return counts(drafter) or any(True for _ in drafter.parameters())


def _fresh(
    config: DictConfig, drafter: Drafter, reference: Callable[[], Target], trained: Drafter
) -> Drafter:
    """The family as it was before training, with the same draft vocabulary; an LSTM head where
    there is nothing to train."""
    if not _trainable(drafter):
        return LSTM(reference().spec)
    if config.drafter.get("path") is not None:  # a checkpoint's weights are trained ones
        _reset(drafter)
    target = reference()  # not fused: some begin as its weights
    counts_V = torch.ones(target.spec.vocabulary)
    if trained.vocabulary_U is not None:
        counts_V = torch.zeros_like(counts_V).index_fill(0, trained.vocabulary_U.cpu(), 1.0)
    ready(drafter, target).prepare(lambda: counts_V.to(target.device))
    return drafter


def _reset(module: nn.Module) -> None:
    """As it begins: a network that knows how its parts begin, and otherwise its parts."""
    if (reset := getattr(module, "reset_parameters", None)) is not None:
        reset()
        return
    for part in module.children():
        _reset(part)


def writer_of(bench: Bench) -> Writer:
    """Lets the target write, shared with the other processes."""
    fabric = bench.fabric
    distributed = Distributed(
        fabric.global_rank, fabric.world_size, fabric.barrier, fabric.broadcast
    )
    return Writer(
        bench.target, Path(bench.config.data.cache), bench.config.seed, distributed=distributed
    )


def prompts_of(bench: Bench, split: Split, count: int) -> Rows:
    """Held-out prompts and the groups they belong to."""
    config, materials = bench.config, Materials.of(bench.tokenizer, writer_of(bench))
    capacity = decode_capacity(config.max_new_tokens, LONGEST if config.k == "auto" else config.k)
    return source_of(config).held_out(materials, split, count, capacity)
