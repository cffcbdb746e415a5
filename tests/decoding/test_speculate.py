"""Speculative text is the target's text: token for token when greedy, in distribution when not."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.fakes import FAMILIES, random_target
from tests.statistic import pair_statistic
from torch import Tensor

from litdraft.decoding import autoregress, speculate, verify
from litdraft.decoding import commit as settle
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.errors import UserError
from litdraft.protocols import Drafter, Proposal, Verdict
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2]]


def loop(target: LlamaTarget, drafter: Drafter, k: int, sampling: Sampling) -> Speculate:
    drafter.eval().bind(target)
    return Speculate(target, drafter, k, sampling, seed=3)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("k", [1, 3, 5])
@pytest.mark.parametrize("family", FAMILIES)
def test_greedy_text_is_the_plain_text(
    family: Callable[[LlamaTarget], Drafter], k: int, batch: int
) -> None:
    target = random_target(eos=(11,))
    plain = Autoregress(target, Sampling()).generate(PROMPTS, 40)
    speculative = loop(target, family(target), k, Sampling())
    texts, lengths = [], []
    for first in range(0, len(PROMPTS), batch):
        generation = speculative.generate(PROMPTS[first : first + batch], 40)
        texts += generation.tokens
        lengths += [len(row) for row in generation.tokens]
        for known, tokens in zip(generation.known, generation.tokens, strict=True):
            assert known[: len(tokens)] == tokens
    assert texts == plain.tokens
    assert any(row[-1] == 11 for row in texts), "the end token must really occur"
    assert len(set(lengths)) > 1


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "sampling", [Sampling(1.0), Sampling(0.7, top_k=8), Sampling(1.3, top_p=0.8)]
)
def test_a_row_says_the_same_in_any_batch(
    family: Callable[[LlamaTarget], Drafter], sampling: Sampling
) -> None:
    target = random_target(eos=(11,))
    speculative = loop(target, family(target), 3, sampling)
    together = speculative.generate(PROMPTS, 30, rows=[0, 1, 2])
    alone = [speculative.generate([p], 30, rows=[row]).tokens[0] for row, p in enumerate(PROMPTS)]
    backwards = speculative.generate(PROMPTS[::-1], 30, rows=[2, 1, 0]).tokens[::-1]
    assert together.tokens == alone == backwards
    other = Speculate(target, speculative.drafter, 3, sampling, seed=4)
    assert other.generate(PROMPTS, 30).tokens != together.tokens


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("family", FAMILIES)
def test_seldom_looking_who_is_done_changes_nothing(
    family: Callable[[LlamaTarget], Drafter], temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on a GPU: rows that are done go through rounds that must not touch them."""
    target = random_target(eos=(11,))
    speculative = loop(target, family(target), 3, Sampling(temperature))
    plain = Autoregress(target, Sampling(temperature))

    def told() -> list[list[list[int]]]:
        ahead, alone = speculative.generate(PROMPTS, 40), plain.generate(PROMPTS, 40)
        return [ahead.tokens, ahead.known, ahead.accepted, ahead.drafted, alone.tokens, alone.known]

    looking = told()
    monkeypatch.setitem(speculate.PATIENCE, "cpu", 7)
    monkeypatch.setitem(autoregress.PATIENCE, "cpu", 7)
    assert told() == looking


def test_sampled_text_has_the_targets_distribution() -> None:
    assert pair_statistic(random_target(vocabulary=5, seed=5)) < 1


def keep_the_longest(proposal: Proposal, probs_BPV: Tensor, uniforms_BP: Tensor) -> Verdict:
    """Wrong on purpose: three candidates are tried with uniforms of their own and the one that
    gets furthest is kept."""
    candidates = [
        verify.verify(proposal, probs_BPV, torch.rand_like(uniforms_BP)) for _ in range(3)
    ]
    best_B = torch.stack([c.count_B for c in candidates]).argmax(0)
    rows_B = torch.arange(len(best_B))
    return Verdict(
        torch.stack([c.tokens_BP for c in candidates])[best_B, rows_B],
        torch.stack([c.count_B for c in candidates])[best_B, rows_B],
        candidates[0].drafted_B,
    )


def test_a_wrong_verifier_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "verify", keep_the_longest)
    assert pair_statistic(random_target(vocabulary=5, seed=5)) > 1


def test_what_does_not_fit_is_told_before_decoding() -> None:
    target = random_target()
    speculative = loop(target, Lookup(), 2, Sampling())
    with pytest.raises(UserError, match="context of 128"):
        speculative.generate([[1] * 100], 40)
    with pytest.raises(UserError, match="empty prompt"):
        speculative.generate([[1], []], 4)
    with pytest.raises(UserError, match="k=0"):
        Speculate(target, Lookup(), 0, Sampling())
