"""A drafter's life, over all families: built, bound, trained or loaded, prepared, used, reset."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain

import pytest
import torch
from tests.drafters import seq2seq
from tests.fakes import FAMILIES, SENTENCEWISE, random_t5, random_target

from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.native.build import available
from litdraft.protocols import Drafter, Needs, Trainable
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.targets.seq2seq import Seq2SeqTarget

Family = Callable[[LlamaTarget], Drafter]
ALL = list(dict.fromkeys([*FAMILIES, *SENTENCEWISE]))
PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2]]
K = 3


def decoded(target: LlamaTarget, drafter: Drafter) -> list[list[list[int]]]:
    """Two batches of sampled text, and how much of the drafts was accepted."""
    loop = Speculate(target, drafter, K, Sampling(1.0), seed=3)
    batches = [loop.generate(PROMPTS, 20, rows) for rows in ([0, 1, 2], [3, 4, 5])]
    return [part for batch in batches for part in (batch.tokens, batch.accepted, batch.drafted)]


def addresses(module: torch.nn.Module) -> set[int]:
    tensors = chain(module.parameters(), module.buffers())
    return {tensor.data_ptr() for tensor in tensors if tensor.numel()}


@pytest.mark.parametrize("family", ALL)
def test_a_drafter_lives_in_the_order_of_the_docstring(family: Family) -> None:
    target = random_target()
    drafter = family(target).eval()
    drafter.bind(target)
    assert drafter.bound_to(target)
    assert not drafter.bound_to(random_target())
    drafter.prepare_for_decoding(torch.float64, native=False)
    first = decoded(target, drafter)
    drafter.reset()
    assert decoded(target, drafter) == first, "reset returns to the start of a measurement"


@pytest.mark.parametrize("family", ALL)
def test_a_loaded_drafter_drafts_the_same(family: Family) -> None:
    """Loaded before it is bound, from nothing but the saved tensors."""
    target = random_target()
    drafter, loaded = family(target).eval(), family(target).eval()
    if isinstance(drafter, Trainable):
        drafter.bind(target)
        counts_V = torch.rand(24, generator=torch.Generator().manual_seed(8))
        drafter.prepare(lambda: counts_V)
    for weight in loaded.parameters():
        torch.nn.init.zeros_(weight)
    loaded.load_state_dict({name: saved.clone() for name, saved in drafter.state_dict().items()})
    drafter.bind(target)
    loaded.bind(target)
    assert decoded(target, loaded) == decoded(target, drafter)


@pytest.mark.parametrize("native", [False, pytest.param(True, marks=pytest.mark.skipif(
    not available(), reason="the native operations do not build here"))])  # fmt: skip
@pytest.mark.parametrize("family", ALL)
def test_the_target_stays_outside(family: Family, native: bool) -> None:
    """It is not registered, saved, trained, moved or changed with the drafter."""
    target = random_target(dtype=torch.float32)
    before = {name: weight.clone() for name, weight in target.model.state_dict().items()}
    unbound = set(family(target).state_dict())
    drafter = family(target).float()
    drafter.bind(target)
    drafter.prepare_for_decoding(torch.float32, native)
    decoded(target, drafter)
    assert target.model not in set(drafter.modules())
    assert not addresses(target.model) & addresses(drafter)
    assert native or set(drafter.state_dict()) == unbound, "binding adds nothing to a checkpoint"
    drafter.train().requires_grad_(True).to("meta")
    assert target.device.type == "cpu"
    assert not target.model.training
    assert not any(weight.requires_grad for weight in target.model.parameters())
    for name, weight in target.model.state_dict().items():
        assert torch.equal(weight, before[name]), name


@pytest.mark.parametrize("family", [f for f in seq2seq.FAMILIES if f is not seq2seq.t5])
def test_a_target_with_an_encoder_stays_outside(
    family: Callable[[Seq2SeqTarget], Drafter],
) -> None:
    target = Seq2SeqTarget(random_t5().double(), "random")
    drafter = family(target)
    drafter.bind(target)
    assert target.model not in set(drafter.modules())
    assert not addresses(target.model) & addresses(drafter)


def test_nothing_is_borrowed_before_bind() -> None:
    drafter = FAMILIES[0](random_target())
    with pytest.raises(AssertionError, match="bind"):
        _ = drafter.target


def test_a_tap_beyond_the_last_layer_is_refused() -> None:
    target = random_target()
    drafter = FAMILIES[0](target)
    drafter.needs = Needs(taps=(1, 3))
    with pytest.raises(UserError, match=r"drafter=lstm taps layer 3, but random has 2"):
        drafter.bind(target)
