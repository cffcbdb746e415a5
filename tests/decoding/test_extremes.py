"""A drafter that is the target is always right; one that avoids the target never is."""

from __future__ import annotations

import pytest
import torch
from tests.fakes import random_target
from torch import Tensor

from litdraft.acceptance.counts import Counts
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.transformer import Transformer
from litdraft.protocols import Context, Drafter, Proposal
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

PROMPTS = [[1, 5, 6], [1, 9], [1, 3, 4, 3, 4]]


def counted(target: LlamaTarget, drafter: Drafter, k: int, sampling: Sampling) -> Counts:
    drafter.bind(target)
    generation = Speculate(target, drafter, k, sampling).generate(PROMPTS, 50)
    return Counts.of(generation.accepted, generation.drafted, k)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_target_drafting_for_itself(k: int, temperature: float) -> None:
    target = random_target()
    drafter = Transformer(target.spec, layers=2).double()
    drafter.model.reset_buffers()
    drafter.model.load_state_dict(target.model.state_dict())
    counts = counted(target, drafter, k, Sampling(temperature))
    assert counts.mean_acceptance_length == k + 1
    assert counts.acceptance_rate == 1.0
    assert counts.survival == [1.0] * k


class Contrary(Drafter):
    """Drafts what the target finds least likely."""

    def propose(
        self, state: None, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        target = self.target
        tokens_BT = context.tokens_BT.clone()
        rows_B, drafts = torch.arange(len(tokens_BT)), []
        for j in range(k):
            length_B = context.length_B + j
            hidden_BD = target.forward(tokens_BT).hidden_BPD[rows_B, length_B - 1]
            drafts.append(target.unembed(hidden_BD).argmin(-1))
            tokens_BT[rows_B, length_B] = drafts[-1]
        return Proposal(torch.stack(drafts, 1))


def test_an_anti_target_is_never_right() -> None:
    counts = counted(random_target(), Contrary(), 3, Sampling())
    assert counts.mean_acceptance_length == 1.0
    assert counts.rounds == 3 * 49
    assert counts.acceptance_rate == 0.0
