"""Replay is decoding: the same counts when greedy, the same expectation when sampled."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.fakes import FAMILIES, ONE_EACH, random_target, word_cnn, word_ngram

from litdraft.acceptance.counts import Counts
from litdraft.acceptance.replay import Replay, replay, replay_texts
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.protocols import Drafter
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget


def prompts(rows: int) -> list[list[int]]:
    return [[1, *torch.randint(2, 24, (1 + row % 5,)).tolist()] for row in range(rows)]


@pytest.mark.parametrize("k", [1, 3])
@pytest.mark.parametrize("family", [*FAMILIES, word_cnn, word_ngram])
def test_greedy_replay_counts_what_decoding_counts(
    family: Callable[[LlamaTarget], Drafter], k: int
) -> None:
    target = random_target(eos=(11,))
    drafter = family(target).eval()
    drafter.bind(target)
    some = prompts(12)
    generation = Speculate(target, drafter, k, Sampling()).generate(some, 40)
    seen = Counts.of(generation.accepted, generation.drafted, k)
    told = replay_texts(target, drafter, some, generation.known, k, Sampling(), complete=True)
    assert told.rounds == seen.rounds
    assert told.accepted_K.tolist() == seen.accepted_K.tolist()
    assert told.mean_acceptance_length == pytest.approx(seen.mean_acceptance_length)
    assert seen.rounds > 20


@pytest.mark.parametrize("family", [*ONE_EACH, word_ngram])
def test_sampled_replay_expects_what_decoding_gives(
    family: Callable[[LlamaTarget], Drafter],
) -> None:
    """Within 2%; at 20,000 rounds both sides were seen to vary by a third of that between seeds."""
    target = random_target()
    drafter = family(target).eval()
    drafter.bind(target)
    some, k, sampling = prompts(512), 3, Sampling(0.7)
    generation = Speculate(target, drafter, k, sampling, seed=1).generate(some, 90)
    seen = Counts.of(generation.accepted, generation.drafted, k)
    plain = Autoregress(target, sampling, seed=2).generate(some, 90).tokens
    told = replay_texts(target, drafter, some, plain, k, sampling, batch=32)
    assert seen.rounds > 20_000
    assert told.mean_acceptance_length == pytest.approx(seen.mean_acceptance_length, rel=0.02)
    assert seen.mean_acceptance_length > 1.05, "a drafter that is never right tests nothing"


def test_the_recursion_by_hand() -> None:
    """One text of 6 tokens, one given, k = 1: the drafts of rounds begun at 0, 1, 2 and 3 are kept
    with chance 0.5, 0.25, 1 and 0.7; a kept draft skips a start."""
    accept = torch.zeros(1, 5, 1, dtype=torch.float64)
    accept[0, :, 0] = torch.tensor([0.0, 0.5, 0.25, 1.0, 0.7])
    told = replay(accept, torch.tensor([6]), torch.tensor([1]), complete=False)
    visits = [1.0, 0.5, 0.5 * 0.75 + 0.5]
    visits.append(visits[1] * 0.25 + visits[2] * 0.0)
    kept = visits[0] * 0.5 + visits[1] * 0.25 + visits[2] * 1.0 + visits[3] * 0.7
    assert float(told.rounds) == pytest.approx(sum(visits))
    assert float(told.accepted_K[0]) == pytest.approx(kept)


def test_sums_of_parts_are_the_whole() -> None:
    target, drafter = random_target(), Lookup()
    some = prompts(6)
    texts = Autoregress(target, Sampling()).generate(some, 30).tokens
    whole = replay_texts(target, drafter, some, texts, 2, Sampling())
    parts = Replay.zero(2)
    for row in range(6):
        parts += replay_texts(
            target, drafter, some[row : row + 1], texts[row : row + 1], 2, Sampling()
        )
    assert torch.allclose(parts.totals(), whole.totals())


@pytest.mark.parametrize("complete", [False, True])
def test_what_lies_behind_a_text_does_not_count(complete: bool) -> None:
    """Rows are padded: what a drafter says there may be anything."""
    accept_BSK = torch.rand(1, 9, 2, dtype=torch.float64)
    length_B, prompt_B = torch.tensor([6]), torch.tensor([2])
    alone = replay(accept_BSK[:, :5], length_B, prompt_B, complete)
    accept_BSK[:, 5:] = float("nan")
    padded = replay(accept_BSK, length_B, prompt_B, complete)
    assert torch.equal(padded.totals(), alone.totals())
