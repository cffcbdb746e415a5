"""The meta device as a stand-in accelerator: whatever waits for the device, or mixes devices,
raises there, because meta tensors hold no values."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.decoding.test_tree import NODES, HandWritten
from tests.fakes import FAMILIES, SENTENCEWISE, lstm_lm, random_target, suffix

from litdraft.decoding.autoregress import Autoregress, PlainState
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.parts.head import Head
from litdraft.protocols import Drafter
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

META = torch.device("meta")
SAMPLINGS = [Sampling(), Sampling(1.0), Sampling(0.8, top_k=5), Sampling(0.8, top_p=0.9)]
PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2]]
ON_THE_HOST = [suffix]  # its index of texts: every round waits, by its nature
ON_DEVICE = [family for family in FAMILIES if family not in ON_THE_HOST]
# Torch packs sequences by lengths on the host, and sentences are found on it: once per prompt.
READS_PROMPT_ON_HOST = [lstm_lm, *SENTENCEWISE]


def moved(target: LlamaTarget, drafter: Drafter) -> None:
    """Both to the meta device, as they are after `bind`, which measures embeddings once."""
    target.model.to(META)
    drafter.eval().to(META)
    for part in drafter.modules():
        if isinstance(part, Head):
            part.bind(target)  # a reduced unembedding is a copy of the target's


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("family", ON_DEVICE)
@torch.inference_mode()
def test_neither_prefill_nor_round_waits(
    family: Callable[[LlamaTarget], Drafter], sampling: Sampling
) -> None:
    target = random_target(eos=(11,))
    drafter = family(target)
    drafter.bind(target)
    moved(target, drafter)
    loop = Speculate(target, drafter, 3, sampling)
    state = loop.begin(PROMPTS, 20)
    if family in READS_PROMPT_ON_HOST:
        for part in (state.drafter, getattr(state.drafter, "body", None)):
            if hasattr(part, "prompted"):
                part.prompted = True
    loop.prefill(state)
    for _ in range(2):
        assert loop.round(state).tokens_BP.device == META
    assert state.context.tokens_BT.device == state.cache.length_B.device == META


@pytest.mark.parametrize("sampling", SAMPLINGS)
@torch.inference_mode()
def test_the_round_of_a_tree_does_not_wait(sampling: Sampling) -> None:
    target = random_target()
    drafter = HandWritten(lambda token_n: torch.stack((token_n, token_n), 1))
    drafter.checks = False  # which read values
    drafter.bind(target)
    moved(target, drafter)
    loop = Speculate(target, drafter, NODES, sampling)
    state = loop.begin(PROMPTS, 20)
    loop.prefill(state)
    assert loop.round(state).tokens_BP.device == META


@pytest.mark.parametrize("sampling", SAMPLINGS)
@torch.inference_mode()
def test_the_plain_step_does_not_wait(sampling: Sampling) -> None:
    target = random_target(eos=(11,))
    target.model.to(META)
    plain = Autoregress(target, sampling)
    rows = torch.zeros(3, dtype=torch.long, device=META)
    state = PlainState(
        cache=target.allocate(3, 30), token_B=rows.clone(), written_BT=rows[:, None].repeat(1, 20),
        count_B=rows.clone(), done_B=rows.bool(), row_B=rows,
    )  # fmt: skip
    plain.step(state)
    assert state.token_B.device == META


def test_what_reads_values_raises_here() -> None:
    """The negative control: a drafter that looks at a token is found."""
    target = random_target()
    drafter = HandWritten(lambda token_n: torch.stack((token_n, token_n), 1))  # with its checks
    drafter.bind(target)
    moved(target, drafter)
    loop = Speculate(target, drafter, NODES, Sampling())
    with pytest.raises((NotImplementedError, RuntimeError)), torch.inference_mode():
        loop.prefill(loop.begin(PROMPTS, 20))
