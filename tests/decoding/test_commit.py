"""The native act gives what the two acts in torch give, to the bit; so do its random numbers."""

from __future__ import annotations

import pytest
import torch
from tests.fakes import random_target

from litdraft.decoding.commit import settle
from litdraft.decoding.state import Run
from litdraft.native import build
from litdraft.protocols import Context, GreedyTokens, Proposal
from litdraft.sampling import draw, uniforms

pytestmark = pytest.mark.skipif(
    not build.available(), reason="the native operations do not build here"
)
ROWS, K, V = 3000, 3, 9


def run_of(generator: torch.Generator) -> Run:
    """Rows of which some are done, some near their limit, and some knew more than they emit."""
    length_B = torch.randint(3, 12, (ROWS,), generator=generator)
    done_B = torch.rand(ROWS, generator=generator) < 0.2
    known_B = length_B + torch.where(done_B, 2, 0)
    none_B = torch.zeros_like(length_B)
    tokens_BT = torch.randint(0, V, (ROWS, 24), generator=generator)
    context = Context(tokens_BT, length_B, known_B, none_B, done_B, none_B, none_B.clone())
    limit_B = length_B + torch.randint(1, 6, (ROWS,), generator=generator)
    cache = random_target().allocate(1, 8)
    return Run(context, cache, None, limit_B, torch.tensor([4, 7]), torch.arange(K + 1))


def proposal_of(kind: str, generator: torch.Generator) -> Proposal:
    ids_U = torch.tensor([0, 2, 3, 5, 8]) if kind == "reduced" else None
    size = V if ids_U is None else len(ids_U)
    place_BK = torch.randint(0, size, (ROWS, K), generator=generator)
    tokens_BK = place_BK if ids_U is None else ids_U[place_BK]
    if kind in ("sampled", "reduced"):
        probs = torch.rand(ROWS, K, size, generator=generator).square().softmax(-1)
        return Proposal(tokens_BK, probs, vocabulary_U=ids_U)
    valid = torch.arange(K) < torch.randint(0, K + 1, (ROWS, 1), generator=generator)
    return Proposal(tokens_BK, valid_BK=valid if kind == "short" else None)


@pytest.mark.parametrize("kind", ["sampled", "reduced", "deterministic", "short"])
@pytest.mark.parametrize("certain", [False, True])
def test_the_native_act_is_the_two_acts(
    kind: str, certain: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for native in (True, False):
        monkeypatch.setattr(build, "_state", build.State(native))
        generator = torch.Generator().manual_seed(0)
        run, proposal = run_of(generator), proposal_of(kind, generator)
        probs_BPV = torch.rand(ROWS, K + 1, V, generator=generator).mul(3).softmax(-1)
        probs_BPV[: ROWS // 3, :K] = 0  # certain of the draft: a residual without mass
        probs_BPV[: ROWS // 3, :K].scatter_(2, proposal.tokens_BK[: ROWS // 3, :, None], 1.0)
        drawn = torch.rand(ROWS, K + 1, generator=generator, dtype=torch.float64)
        says = GreedyTokens(probs_BPV.argmax(-1)) if certain else probs_BPV
        verdict = settle(run, proposal, says, drawn)
        context = run.context
        known_B1 = context.known_B[:, None]
        text_BT = context.tokens_BT.where(torch.arange(24) < known_B1, -1)
        told.append(
            (text_BT, context.length_B, context.known_B, context.done_B, context.round_B,
             verdict.count_B, verdict.drafted_B)
        )  # fmt: skip
    for mine, other in zip(*told, strict=True):
        assert torch.equal(mine, other)
    counts_B = told[0][5]
    assert set(counts_B.tolist()) == set(range(K + 2))


def test_uniforms_and_draws_are_the_same_to_the_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, rounds = torch.randint(0, 1 << 40, (50,)), torch.randint(0, 1000, (50,))
    weights = torch.rand(50, 300).masked_fill(torch.rand(50, 300) < 0.4, 0)
    told = []
    for native in (True, False):
        monkeypatch.setattr(build, "_state", build.State(native))
        drawn = uniforms(7, rows, rounds, 9)
        edges = torch.tensor([0.0, 1 - 2**-53]).double().repeat(25)
        told.append((drawn, draw(weights, drawn[:, 0]), draw(weights, edges)))
    for mine, other in zip(*told, strict=True):
        assert torch.equal(mine, other)
