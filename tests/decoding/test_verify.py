"""Losslessness by exact enumeration, through the verifier that ships."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from litdraft.decoding.verify import verify
from litdraft.protocols import GreedyTokens, Proposal

V = 4


def distributions(rows: int, zeros: bool = False) -> Tensor:
    """Random distributions over V tokens, one of them sometimes impossible."""
    weights = torch.rand(rows, V, dtype=torch.float64)
    if zeros:
        weights[:, 1] = 0
    return weights / weights.sum(1, keepdim=True)


def one_hot(token: int) -> Tensor:
    return torch.eye(V, dtype=torch.float64)[token]


def midpoints(breaks: list[float]) -> list[tuple[float, float]]:
    """Where a function that is constant between breaks is evaluated, and each piece's length."""
    cuts = sorted({0.0, 1.0, *(min(max(b, 0.0), 1.0) for b in breaks)})
    return [((a + b) / 2, b - a) for a, b in itertools.pairwise(cuts) if b > a]


def emitted(proposal: Proposal, target_PV: Tensor) -> dict[tuple[int, ...], float]:
    """The distribution of what one proposal leads to, integrated over the uniforms.

    The verdict is piecewise constant in every uniform: an accept uniform changes it at p / q, the
    last one where a cumulated mass is crossed, of p itself or of one of the residuals.
    """
    k = proposal.tokens_BN.shape[1]
    axes = []
    for j, token in enumerate(proposal.tokens_BN[0].tolist()):
        q = 1.0 if proposal.probs_BNU is None else float(proposal.probs_BNU[0, j, token])
        axes.append(midpoints([float(target_PV[j, token]) / q]))
    last = []
    for j in range(k + 1):
        weights = [target_PV[j]]
        if j < k and proposal.probs_BNU is None:
            weights.append(target_PV[j] * (1 - one_hot(int(proposal.tokens_BN[0, j]))))
        elif j < k and proposal.probs_BNU is not None:
            weights.append((target_PV[j] - proposal.probs_BNU[0, j]).clamp_min(0))
        for weight in weights:
            if weight.sum() > 0:
                last += (weight.cumsum(0) / weight.sum()).tolist()
    axes.append(midpoints(last))
    cells = list(itertools.product(*axes))
    uniforms_nP = torch.tensor([[place for place, _ in cell] for cell in cells]).double()
    many = Proposal(
        proposal.tokens_BN.expand(len(cells), -1),
        None if proposal.probs_BNU is None else proposal.probs_BNU.expand(len(cells), -1, -1),
        None if proposal.valid_BN is None else proposal.valid_BN.expand(len(cells), -1),
    )
    verdict = verify(many, target_PV.expand(len(cells), -1, -1), uniforms_nP)
    found: dict[tuple[int, ...], float] = {}
    for cell, tokens, count in zip(
        cells, verdict.tokens_BP.tolist(), verdict.count_B.tolist(), strict=True
    ):
        text = tuple(tokens[:count])
        found[text] = found.get(text, 0.0) + math.prod(length for _, length in cell)
    return found


def first_tokens(k: int, kind: str, zeros: bool) -> float:
    """Largest error of the joint distribution of a round's text against the target's own.

    The target here depends on the tokens before: p_0, then p_1[x_0], then p_2[x_0][x_1]. A round
    that emits fewer than k + 1 tokens is completed by the target.
    """
    q_KV = distributions(k)
    p0, p1, p2 = distributions(1, zeros)[0], distributions(V, zeros), distributions(V * V, zeros)
    if kind == "greedy":
        p0, p1, p2 = (
            one_hot(2),
            *(torch.stack([one_hot(i % V) for i in range(n)]) for n in (V, V * V)),
        )
    joint = torch.zeros(V, V, V, dtype=torch.float64)
    drafts = itertools.product(range(V), repeat=k)
    fixed = tuple((2, 3)[:k])
    for draft in drafts:
        if kind == "sampled":
            chance = float(torch.stack([q_KV[j, t] for j, t in enumerate(draft)]).prod())
        else:  # a deterministic draft
            chance = float(draft == fixed)
        if chance == 0:
            continue
        first, second = draft[0], draft[1] if k > 1 else 0
        target_PV = torch.stack([p0, p1[first], p2[first * V + second]][: k + 1])
        probs = q_KV[None] if kind == "sampled" else None
        for text, weight in emitted(Proposal(torch.tensor([draft]), probs), target_PV).items():
            for rest in itertools.product(range(V), repeat=3 - len(text)):
                whole = (*text, *rest)
                tail = [p0[whole[0]], p1[whole[0], whole[1]], p2[whole[0] * V + whole[1], whole[2]]]
                extra = torch.stack([*tail[len(text) :], torch.ones((), dtype=torch.float64)])
                joint[whole] += chance * weight * float(extra.prod())
    exact = p0[:, None, None] * p1[:, :, None] * p2.view(V, V, V)
    return float((joint - exact).abs().max())


@pytest.mark.parametrize("zeros", [False, True], ids=["dense", "impossible token"])
@pytest.mark.parametrize("kind", ["sampled", "deterministic", "greedy"])
@pytest.mark.parametrize("k", [1, 2])
def test_what_is_emitted_is_distributed_as_the_target(k: int, kind: str, zeros: bool) -> None:
    for _ in range(3):
        assert first_tokens(k, kind, zeros) < 1e-12


@pytest.mark.parametrize("valid", [0, 1])
def test_a_short_proposal_is_lossless_too(valid: int) -> None:
    target_PV = distributions(3)
    proposal = Proposal(
        torch.tensor([[1, 2]]), None, torch.tensor([[True, True]]) & (torch.arange(2) < valid)
    )
    first = torch.zeros(V, dtype=torch.float64)
    for text, weight in emitted(proposal, target_PV).items():
        assert len(text) <= valid + 1
        first[text[0]] += weight
    assert (first - target_PV[0]).abs().max() < 1e-12


def test_where_drafter_and_target_agree_everything_is_accepted() -> None:
    p_PV = distributions(3)
    draft = torch.tensor([[1, 2]])
    verdict = verify(
        Proposal(draft, p_PV[None, :2]), p_PV[None], torch.tensor([[0.999, 0.999, 0.5]])
    )
    assert verdict.count_B.tolist() == [3]
    assert verdict.tokens_BP[0, :2].tolist() == [1, 2]


def test_a_residual_without_mass_falls_back_to_the_target() -> None:
    """Rounding can reject a draft although p = q everywhere."""
    p_V = torch.tensor([0.0, 0.2, 0.3, 0.5], dtype=torch.float64)  # a draw without mass says 0
    uniforms = torch.tensor([[1.0, 0.4]], dtype=torch.float64)  # 1.0 never occurs: the worst case
    verdict = verify(Proposal(torch.tensor([[1]]), p_V[None, None]), p_V.expand(1, 2, V), uniforms)
    assert verdict.count_B.tolist() == [1]
    assert verdict.tokens_BP[0, 0] == 2


def test_a_reduced_draft_vocabulary_is_the_whole_one_with_zeros() -> None:
    """To the bit: what is kept, and what is drawn from the residual."""
    torch.manual_seed(0)
    rows, k, ids_U = 4000, 2, torch.tensor([0, 1, 3])
    probs_BNU = torch.rand(rows, k, 3, dtype=torch.float64)
    probs_BNU /= probs_BNU.sum(-1, keepdim=True)
    places_BK = torch.randint(0, 3, (rows, k))
    target_BPV = distributions(rows * (k + 1)).view(rows, k + 1, V)
    uniforms_BP = torch.rand(rows, k + 1, dtype=torch.float64)
    whole_BKV = torch.zeros(rows, k, V, dtype=torch.float64)
    whole_BKV[..., ids_U] = probs_BNU
    tokens_BN = ids_U[places_BK]
    reduced = verify(Proposal(tokens_BN, probs_BNU, vocabulary_U=ids_U), target_BPV, uniforms_BP)
    whole = verify(Proposal(tokens_BN, whole_BKV), target_BPV, uniforms_BP)
    assert torch.equal(reduced.tokens_BP, whole.tokens_BP)
    assert torch.equal(reduced.count_B, whole.count_B)
    assert (reduced.tokens_BP == 2).any(), "the token it cannot draft is recovered now and then"


@pytest.mark.parametrize("drafts", ["sampled", "deterministic", "short"])
def test_a_certain_target_is_the_one_hot_limit(drafts: str) -> None:
    """As many tokens count, and those that count are the same."""
    torch.manual_seed(0)
    rows, k = 2000, 3
    best_BP, tokens_BN = torch.randint(0, V, (rows, k + 1)), torch.randint(0, V, (rows, k))
    tokens_BN[: rows // 2] = best_BP[: rows // 2, :k]
    probs = distributions(rows * k).view(rows, k, V) if drafts == "sampled" else None
    valid = torch.arange(k) < torch.randint(0, k + 1, (rows, 1)) if drafts == "short" else None
    proposal, drawn = Proposal(tokens_BN, probs, valid), torch.rand(rows, k + 1).double()
    certain = verify(proposal, GreedyTokens(best_BP), drawn)
    whole = verify(proposal, torch.eye(V).double()[best_BP], drawn)
    assert torch.equal(certain.count_B, whole.count_B)
    assert torch.equal(certain.drafted_B, whole.drafted_B)
    counted = torch.arange(k + 1) < whole.count_B[:, None]
    assert torch.equal(certain.tokens_BP[counted], whole.tokens_BP[counted])
