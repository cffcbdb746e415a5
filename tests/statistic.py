"""Whether sampled text follows a target's own distribution."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from tests.fakes import Scripted
from torch import Tensor

from litdraft.decoding.speculate import Speculate
from litdraft.protocols import Drafter, Target
from litdraft.sampling import Sampling

FALSE_ALARM = 1e-6
ROWS = 20_000


def pair_statistic(
    target: Target, prompt: Sequence[int] = (1, 2), drafter: Drafter | None = None, k: int = 2
) -> float:
    """Pearson's statistic of the first two tokens behind the prefill's, over many rows, divided by
    the threshold that a right sampler exceeds with probability FALSE_ALARM.

    The target has a vocabulary of five. The drafter is by default one that is far from it, so that
    pairs come from acceptances, recovered and bonus tokens alike.
    """
    size, sampling = target.spec.vocabulary, Sampling(1.0)
    drafter = drafter or Scripted(
        torch.tensor([[0.5, 0.2, 0.1, 0.1, 0.1], [0.1, 0.1, 0.1, 0.2, 0.5]]).double()
    )
    drafter.bind(target)
    generation = Speculate(target, drafter, k, sampling, seed=3).generate([prompt] * ROWS, 3)
    seen = torch.tensor(generation.tokens)
    exact = exact_triples(target, prompt, size, sampling)
    counts = torch.bincount(
        seen[:, 0] * size**2 + seen[:, 1] * size + seen[:, 2], minlength=size**3
    )
    expected = ROWS * exact.flatten()
    assert (expected > 0).all()
    rare = expected < 5  # pooled, as the chi-square approximation wants it
    observed = torch.cat((counts[~rare].double(), counts[rare].sum()[None].double()))
    expected = torch.cat((expected[~rare], expected[rare].sum()[None]))
    statistic = ((observed - expected) ** 2 / expected.clamp_min(1e-9)).sum()
    return float(statistic) / threshold(len(observed) - 1)


def threshold(freedom: int) -> float:
    """What a chi-square variable exceeds with probability FALSE_ALARM at most (Laurent and
    Massart, 2000, lemma 1)."""
    x = -math.log(FALSE_ALARM)
    return freedom + 2 * math.sqrt(freedom * x) + 2 * x


def exact_triples(target: Target, prompt: Sequence[int], size: int, sampling: Sampling) -> Tensor:
    """The target's own joint distribution of three tokens behind a prompt."""
    triples = torch.cartesian_prod(*[torch.arange(size)] * 3)
    texts = torch.cat((torch.tensor(prompt).expand(len(triples), -1), triples), 1)
    prompt_B = torch.full((len(texts),), len(prompt))
    output = target.forward(texts[:, :-1], prompt_B=prompt_B)
    hidden = output.hidden_BPD[:, len(prompt) - 1 :]
    probs = sampling.probs(target.unembed(hidden)).gather(2, triples[..., None])[..., 0]
    return probs.prod(1).view(size, size, size)
