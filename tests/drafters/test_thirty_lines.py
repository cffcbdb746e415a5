"""A drafter written in one place, outside the package, goes through everything."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.fakes import random_target
from tests.training.runs import fitted
from torch import Tensor, nn

from litdraft.acceptance.counts import Counts
from litdraft.acceptance.replay import replay_texts
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.protocols import Context, Proposal, TargetSpec, Trainable, TrainingBatch
from litdraft.sampling import Sampling, choose


class Bigram(Trainable):
    """The next token from the last one alone."""

    def __init__(self, spec: TargetSpec) -> None:
        super().__init__()
        self.table = nn.Embedding(spec.vocabulary, spec.vocabulary)

    def propose(
        self, state: None, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        token_B, tokens, probs = context.last_BP(1)[:, 0], [], []
        for j in range(k):
            token_B, probs_BV = choose(self.table(token_B), sampling, uniforms_BK[:, j])
            tokens.append(token_B)
            if probs_BV is not None:
                probs.append(probs_BV)
        return Proposal(torch.stack(tokens, 1), torch.stack(probs, 1) if probs else None)

    def states(self, batch: TrainingBatch) -> Tensor:
        return self.table(batch.tokens_BT[:, :-1])[:, :, None]

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        return states_nC


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_thirty_lines_are_enough(temperature: float, tmp_path: Path) -> None:
    target = random_target(seed=2, dtype=torch.float32)
    sampling, k = Sampling(temperature), 2
    module, before = fitted(target, Bigram, tmp_path, k=k, sampling=sampling, epochs=6)
    prompts = [[1, 4], [1, 7, 7, 3], [1, 2, 9]] * 20
    texts = Autoregress(target, sampling).generate(prompts, 40).tokens
    told = replay_texts(target, module.drafter, prompts, texts, k, sampling)
    loop = Speculate(target, module.drafter, k, sampling)
    accepted, drafted = [], []
    for first in range(0, len(prompts), 3):
        rows = range(first, first + 3)
        generation = loop.generate(prompts[first : first + 3], 40, rows)
        accepted += generation.accepted
        drafted += generation.drafted
        if sampling.greedy:
            assert generation.tokens == texts[first : first + 3]
    observation = Counts.of(accepted, drafted, k).mean_acceptance_length
    assert told.mean_acceptance_length == pytest.approx(observation, rel=0.1)
    assert observation > before + 0.1, "it must have learned something"
