"""Temperature, top-k, top-p and the uniforms that everything is drawn with."""

from __future__ import annotations

import pytest
import torch
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from litdraft.errors import UserError
from litdraft.sampling import Sampling, draw, uniforms


@pytest.mark.parametrize(
    "sampling", [Sampling(0.7), Sampling(1.0, top_k=5), Sampling(1.3, top_p=0.6),
                 Sampling(0.8, top_k=9, top_p=0.8)]
)  # fmt: skip
def test_the_distribution_is_that_of_transformers(sampling: Sampling) -> None:
    logits = torch.randn(50, 30, dtype=torch.float64)
    warped = TemperatureLogitsWarper(sampling.temperature)(None, logits)
    if sampling.top_k:
        warped = TopKLogitsWarper(sampling.top_k)(None, warped)
    if sampling.top_p < 1:
        warped = TopPLogitsWarper(sampling.top_p)(None, warped)
    assert (sampling.probs(logits) - warped.softmax(-1)).abs().max() < 1e-12


def test_greedy_is_the_one_hot_of_the_argmax() -> None:
    logits = torch.randn(8, 11)
    probs = Sampling(0.0).probs(logits)
    assert probs.sum(-1).tolist() == [1.0] * 8
    assert torch.equal(probs.argmax(-1), logits.argmax(-1))


def test_draw_inverts_the_cumulated_weights() -> None:
    weights = torch.tensor([[0.0, 2.0, 0.0, 1.0, 1.0, 0.0]])
    places = torch.tensor([0.0, 0.49, 0.5, 0.74, 0.76, 1 - 1e-16])
    assert draw(weights.expand(6, -1), places).tolist() == [1, 1, 3, 3, 4, 4]


def test_uniforms_are_uniform_and_keyed() -> None:
    """Kolmogorov-Smirnov by row, round and place: false alarm 1e-6 (the DKW inequality)."""
    rows, rounds = torch.arange(100_000), torch.zeros(100_000, dtype=torch.long)
    for sample in (
        uniforms(0, rows, rounds, 1)[:, 0],
        uniforms(3, rounds + 7, rows, 2)[:, 1],
        uniforms(1, rounds[:1], rounds[:1], 100_000)[0],
    ):
        assert sample.min() >= 0
        assert sample.max() < 1
        steps = torch.arange(1, len(sample) + 1, dtype=torch.double) / len(sample)
        gap = (sample.sort().values - steps).abs().max()
        assert gap < (torch.log(torch.tensor(2e6)) / (2 * len(sample))).sqrt()
    one, row = torch.tensor([1]), torch.tensor([5])
    assert torch.equal(
        uniforms(0, row, one, 3), uniforms(0, torch.tensor([4, 5]), one.repeat(2), 5)[1:, :3]
    )
    assert not torch.equal(uniforms(0, row, one, 3), uniforms(1, row, one, 3))


def test_what_cannot_be_sampled_is_told() -> None:
    for values in ({"temperature": -1.0}, {"top_k": -1}, {"top_p": 0.0}, {"top_p": 1.1}):
        with pytest.raises(UserError, match="cannot sample"):
            Sampling(**values)
