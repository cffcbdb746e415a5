"""What an evaluation works with: target, drafter, floors and prompts, opened and checked."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from lightning.fabric import Fabric

from litdraft.data.continuations import Writer
from litdraft.data.distributed import Distributed
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Split
from litdraft.decoding.batching import decode_capacity
from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.evaluation.options import EvaluationOptions, EvaluationParts
from litdraft.protocols import Drafter, Target, Trainable, check_length, counts
from litdraft.reports.provenance import provenance
from litdraft.reports.schema import Evaluated, Floors
from litdraft.targets.devices import own_device
from litdraft.tokenizers.base import Tokenizer


@dataclass
class Setup:
    """`reference()` is the target with the same weights, eager and in float32, to judge by;
    `parameters` counts the drafter's own, or the numbers that a counted drafter keeps."""

    parts: EvaluationParts
    options: EvaluationOptions
    fabric: Fabric
    target: Target
    reference: Callable[[], Target]
    drafter: Drafter
    parameters: int
    floors: dict[str, Drafter]
    tokenizer: Tokenizer

    def evaluated(self, k: int, prompts: int) -> Evaluated:
        """What was evaluated, and with which options: part of every report."""
        options, sampling = self.options, self.options.sampling
        return Evaluated(
            target=self.target.spec.name,
            drafter=self.drafter.name,
            parameters=self.parameters,
            k=k,
            prompts=prompts,
            max_new_tokens=options.max_new_tokens,
            batch=options.batch,
            repeats=options.repeats,
            top_k=sampling.top_k,
            top_p=sampling.top_p,
            seed=options.seed,
            dtype=str(self.target.dtype).removeprefix("torch."),
            fused=self.target.packed is not None,
            **vars(provenance(self.target.device)),
        )


def open_setup(
    parts: EvaluationParts, options: EvaluationOptions, fabric: Fabric, *, floors: bool = True
) -> Setup:
    """UserError if target, tokenizer and drafter do not fit each other or the options. Without
    `floors` nothing is opened to compare the drafter with."""
    device = own_device()
    target = _open_target(parts, options, fabric, device)
    eager = target.dtype == torch.float32 and target.packed is None

    @functools.cache
    def reference() -> Target:
        return target if eager else parts.open_target(torch.float32, device, False)

    tokenizer = parts.open_tokenizer(target)
    torch.manual_seed(options.seed)
    drafter = parts.build_drafter(target.spec, tokenizer)
    untrained = parts.build_untrained(target.spec, tokenizer) if floors else None
    if options.k is not None:
        check_length(drafter, options.k)
    stored = drafter.state_dict().values() if counts(drafter) else drafter.parameters()
    parameters = sum(values.numel() for values in stored)
    compared: dict[str, Drafter] = {}
    if floors:
        compared = dict(
            zip(Floors._fields, (Lookup(), _floor(untrained, drafter, reference)), strict=True)
        )
    for some in (drafter, *compared.values()):
        _prepare(some, target)
    return Setup(
        parts, options, fabric, target, reference, drafter, parameters, compared, tokenizer
    )


def _open_target(
    parts: EvaluationParts, options: EvaluationOptions, fabric: Fabric, device: torch.device
) -> Target:
    """In the data type that the first process found to be the fastest."""
    target = parts.open_target(options.dtype, device, options.native)
    name = fabric.broadcast(str(target.dtype).removeprefix("torch."))
    dtype = getattr(torch, name)
    return target if target.dtype == dtype else parts.open_target(dtype, device, options.native)


def _floor(untrained: Drafter | None, drafter: Drafter, reference: Callable[[], Target]) -> Drafter:
    """The family before training, with the same draft vocabulary; an LSTM head where there is
    nothing to train."""
    target = reference()  # not fused: some families start from its weights
    if untrained is None:
        return LSTM(target.spec)
    counts_V = torch.ones(target.spec.vocabulary)
    if isinstance(drafter, Trainable) and drafter.vocabulary_U is not None:
        counts_V = torch.zeros_like(counts_V).index_fill(0, drafter.vocabulary_U.cpu(), 1.0)
    _place(untrained, target)
    if isinstance(untrained, Trainable):
        untrained.prepare(lambda: counts_V.to(target.device))
    return untrained


def _place(drafter: Drafter, target: Target) -> None:
    """On the target's device, bound to it and frozen."""
    drafter.to(target.device).eval().requires_grad_(False).bind(target)


def _prepare(drafter: Drafter, target: Target) -> None:
    """Ready for decoding."""
    _place(drafter, target)
    drafter.prepare_for_decoding(target.dtype, native=target.packed is not None)


def writer_of(setup: Setup) -> Writer:
    """Lets the target write, shared with the other processes."""
    fabric = setup.fabric
    processes = Distributed(fabric.global_rank, fabric.world_size, fabric.barrier, fabric.broadcast)
    return Writer(setup.target, setup.parts.cache, setup.options.seed, distributed=processes)


def prompts_of(setup: Setup, split: Split, count: int) -> Rows:
    """Held-out prompts, with their groups and references."""
    source = setup.parts.open_source()
    materials = Materials.of(setup.tokenizer, writer_of(setup))
    capacity = decode_capacity(setup.options.max_new_tokens, setup.options.longest_draft)
    return source.held_out(materials, split, count, capacity)
