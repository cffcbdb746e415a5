"""The native operation gives what torch gives, to the bit; so do its random numbers."""

from __future__ import annotations

import pytest
import torch
from tests.fakes import context_of

from litdraft.decoding.commit import commit
from litdraft.native import build
from litdraft.protocols import Context, GreedyTokens, Proposal
from litdraft.sampling import draw, uniforms

pytestmark = pytest.mark.skipif(
    not build.available(), reason="the native operations do not build here"
)
ROWS, K, V = 3000, 3, 9


def random_context(generator: torch.Generator) -> Context:
    """Rows of which some are done, some near their limit, and some knew more than they emit."""
    length_B = torch.randint(3, 12, (ROWS,), generator=generator)
    done_B = torch.rand(ROWS, generator=generator) < 0.2
    known_B = length_B + torch.where(done_B, 2, 0)
    tokens_BT = torch.randint(0, V, (ROWS, 24), generator=generator)
    limit_B = length_B + torch.randint(1, 6, (ROWS,), generator=generator)
    return context_of(
        tokens_BT, length_B, known_B=known_B, limit_B=limit_B, ends=(4, 7), done_B=done_B
    )


def proposal_of(kind: str, generator: torch.Generator) -> Proposal:
    ids_U = torch.tensor([0, 2, 3, 5, 8]) if kind == "reduced" else None
    size = V if ids_U is None else len(ids_U)
    index_BN = torch.randint(0, size, (ROWS, K), generator=generator)
    tokens_BN = index_BN if ids_U is None else ids_U[index_BN]
    if kind in ("sampled", "reduced"):
        probs = torch.rand(ROWS, K, size, generator=generator).square().softmax(-1)
        return Proposal(tokens_BN, probs, vocabulary_U=ids_U)
    valid = torch.arange(K) < torch.randint(0, K + 1, (ROWS, 1), generator=generator)
    return Proposal(tokens_BN, valid_BN=valid if kind == "short" else None)


@pytest.mark.parametrize("kind", ["sampled", "reduced", "deterministic", "short"])
@pytest.mark.parametrize("greedy", [False, True])
def test_the_native_operation_equals_torch_to_the_bit(
    kind: str, greedy: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = []
    for native in (True, False):
        monkeypatch.setattr(build, "_state", build.BuildState(native))
        generator = torch.Generator().manual_seed(0)
        context, proposal = random_context(generator), proposal_of(kind, generator)
        probs_BPV = torch.rand(ROWS, K + 1, V, generator=generator).mul(3).softmax(-1)
        probs_BPV[: ROWS // 3, :K] = 0  # the draft has probability one: a residual without mass
        probs_BPV[: ROWS // 3, :K].scatter_(2, proposal.tokens_BN[: ROWS // 3, :, None], 1.0)
        drawn = torch.rand(ROWS, K + 1, generator=generator, dtype=torch.float64)
        target_probs = GreedyTokens(probs_BPV.argmax(-1)) if greedy else probs_BPV
        verdict, emitted_B = commit(context, proposal, target_probs, drawn)
        known_B1 = context.known_B[:, None]
        text_BT = context.tokens_BT.where(torch.arange(24) < known_B1, -1)
        told.append(
            (text_BT, context.length_B, context.known_B, context.done_B, context.round_B,
             verdict.count_B, verdict.drafted_B, emitted_B)
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
        monkeypatch.setattr(build, "_state", build.BuildState(native))
        drawn = uniforms(7, rows, rounds, 9)
        edges = torch.tensor([0.0, 1 - 2**-53]).double().repeat(25)
        told.append((drawn, draw(weights, drawn[:, 0]), draw(weights, edges)))
    for mine, other in zip(*told, strict=True):
        assert torch.equal(mine, other)
