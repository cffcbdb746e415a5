"""Losses are what their formulas say, and their gradients are exact, whatever the chunk."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from litdraft.decoding.verify import verify
from litdraft.errors import UserError
from litdraft.losses.objective import LOSSES, Measure, Objective, Sums
from litdraft.protocols import Proposal
from litdraft.sampling import log_softmax

ROWS, PLACES, K, WIDTH, SIZE = 2, 9, 3, 5, 11


def only(name: str, **more: Any) -> Objective:
    weights: dict[str, Any] = {name: 1.0, **more}
    return Objective(**weights)


class Plain(nn.Module):
    """An unembedding of one matrix, which it owns up to or not, and a bias or none."""

    def __init__(self, told: bool, outputs: int = SIZE) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, WIDTH).double())
        self.told = told

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        return states_nC @ self.weight.T

    def unembedding_weight(self, j: int) -> Tensor | None:
        return self.weight if self.told else None


class Case:
    """States, a teacher and labels of a small batch."""

    def __init__(self, vocabulary_U: Tensor | None = None, told: bool = False) -> None:
        torch.manual_seed(0)
        self.states = torch.randn(ROWS, PLACES, K, WIDTH, dtype=torch.float64, requires_grad=True)
        self.head = Plain(told, SIZE if vocabulary_U is None else len(vocabulary_U))
        self.taught = torch.randn(ROWS * PLACES, SIZE).double()
        self.labels = torch.randint(SIZE, (ROWS, PLACES))
        self.trained = torch.rand(ROWS, PLACES) < 0.8
        self.vocabulary_U = vocabulary_U

    def sums(self, objective: Objective) -> Sums:
        return objective.sums(
            self.states, self.head, lambda rows: self.taught[rows], self.labels, self.trained,
            vocabulary_U=self.vocabulary_U,
        )  # fmt: skip


def written_out(case: Case, name: str, eta: float = 3.0) -> tuple[Tensor, Tensor]:
    """loss_BSK and overlap_BSK, everything at once, from probabilities."""
    q = log_softmax(case.states @ case.head.weight.T).exp()
    p = log_softmax(case.taught).exp().view(ROWS, PLACES, 1, SIZE)
    labels = case.labels[..., None, None].expand(-1, -1, K, 1)
    if case.vocabulary_U is not None:
        p = p[..., case.vocabulary_U]
        drafted = labels == case.vocabulary_U
        place, known = drafted.int().argmax(-1, keepdim=True), drafted.any(-1)
    else:
        place, known = labels, torch.ones_like(labels[..., 0]).bool()
    overlap = torch.minimum(p, q).sum(-1)
    given = p / p.sum(-1, keepdim=True)
    middle = (given + q) / 2
    kl = (given * (given / q).log()).sum(-1)
    share = torch.exp(-eta * overlap.detach())
    told = {
        "ce": torch.where(known, -q.gather(3, place)[..., 0].log(), 0.0),
        "kl": kl,
        "reverse_kl": (q * (q / given).log()).sum(-1),
        "jsd": ((given * (given / middle).log()).sum(-1) + (q * (q / middle).log()).sum(-1)) / 2,
        "tv": 1 - overlap,
        "lk": -overlap.log(),
        "lk_hybrid": share * kl + (1 - share) * (1 - overlap),
    }
    return told[name], overlap


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("chunk", [1, 4, 1000])
@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("name", LOSSES)
def test_every_loss_and_its_gradients_written_out(
    name: str, reduced: bool, chunk: int, told: bool
) -> None:
    case = Case(torch.tensor([0, 2, 3, 7, 10]) if reduced else None, told)
    mib = chunk * 4 * case.head.weight.shape[0] / 2**20
    sums = case.sums(only(name, weights="power", gamma=0.7, logits_mib=mib))
    loss, overlap = written_out(case, name)
    real = case.trained[:, :, None] & (torch.arange(PLACES)[:, None] > torch.arange(K))
    count_K = real.sum((0, 1))
    assert sums.count_K.tolist() == count_K.tolist()
    expected_K = torch.where(real, loss, 0.0).sum((0, 1))
    assert torch.allclose(sums.loss_K, expected_K)
    assert torch.allclose(sums.acceptance_K, torch.where(real, overlap, 0.0).sum((0, 1)))
    weights_K = torch.tensor([0.7**j for j in range(K)]).double()
    whole = (weights_K / weights_K.sum() * expected_K / count_K).sum()
    assert torch.allclose(sums.loss, whole)
    of = (case.states, case.head.weight)
    for found, wanted in zip(
        torch.autograd.grad(3 * sums.loss, of), torch.autograd.grad(3 * whole, of), strict=True
    ):
        assert torch.allclose(found, wanted, rtol=1e-5, atol=1e-10)


@pytest.mark.parametrize("name", LOSSES)
def test_gradients_are_finite_differences(name: str) -> None:
    """Of the state that one position learns from, and of the head. lk_hybrid takes its share as
    given, so its slope is that of the two losses with the share held."""
    case = Case(told=True)
    objective = only(name)
    sums = case.sums(objective)
    found = torch.autograd.grad(sums.loss, (case.states, case.head.weight))
    place = (0, int(case.trained[0, K:].nonzero()[0, 0]) + K, 1)

    def value() -> float:
        with torch.no_grad():
            if name != "lk_hybrid":
                return float(case.sums(objective).loss)
            loss, overlap = written_out(case, "kl")
            held = share * loss + (1 - share) * (1 - overlap)
            real = case.trained[:, :, None] & (torch.arange(PLACES)[:, None] > torch.arange(K))
            return float((torch.where(real, held, 0.0).sum((0, 1)) / sums.count_K / K).sum())

    share = torch.exp(-3.0 * written_out(case, "tv")[1].detach())
    for tensor, gradient, at in (
        (case.states, found[0], (*place, 2)),
        (case.head.weight, found[1], (4, 1)),
    ):
        step, ends = 1e-6, []
        for sign in (1, -1):
            with torch.no_grad():
                tensor[at] += sign * step
            ends.append(value())
            with torch.no_grad():
                tensor[at] -= sign * step
        slope = (ends[0] - ends[1]) / (2 * step)
        assert float(gradient[at]) == pytest.approx(slope, rel=1e-3, abs=1e-8)


def test_a_drafter_that_agrees_has_nothing_to_learn() -> None:
    """Every divergence of p from p is 0, lk too, and 1 - tv is 1; the slopes are 0 as well."""
    case = Case()
    with torch.no_grad():
        case.states.zero_()
    case.taught.zero_()
    for name in set(LOSSES) - {"ce"}:
        sums = case.sums(only(name))
        assert sums.loss_K.abs().max() < 1e-12, name
        assert torch.allclose(sums.acceptance_K, sums.count_K.double())
        if name not in ("tv", "lk", "lk_hybrid"):  # there min(p, q) has a kink
            assert torch.autograd.grad(sums.loss, case.states)[0].abs().max() < 1e-12, name


def test_one_less_tv_is_what_the_verifier_accepts() -> None:
    """The overlap that objectives report, against drafts drawn from q and really verified."""
    p, q = torch.tensor([[0.5, 0.3, 0.15, 0.05]]), torch.tensor([[0.2, 0.5, 0.1, 0.2]])
    measure = Measure(Objective(tv=1.0))
    loss_n, kept_n, _ = measure.found(q.log(), measure.taught(p.log()), torch.zeros(1).long())
    assert float(loss_n) == pytest.approx(1 - 0.65)
    assert float(kept_n) == pytest.approx(0.65)
    rows = 100_000
    drawn_B1 = torch.multinomial(q.expand(rows, -1), 1)
    proposal = Proposal(drawn_B1, q.expand(rows, 1, -1))
    target = p.expand(rows, 2, -1).contiguous()
    verdict = verify(proposal, target, torch.rand(rows, 2).double())
    seen = float((verdict.count_B - 1).double().mean())
    assert seen == pytest.approx(0.65, abs=5 * (0.65 * 0.35 / rows) ** 0.5)


def test_losses_add_up() -> None:
    case = Case()
    whole = case.sums(Objective(ce=0.1, tv=0.9)).loss
    parts = 0.1 * case.sums(Objective(ce=1)).loss + 0.9 * case.sums(Objective(tv=1)).loss
    assert whole.item() == pytest.approx(parts.item())
    assert not Objective(ce=1).needs_teacher
    assert Objective(ce=1, kl=0.1).needs_teacher


def test_weights_of_positions_sum_to_one() -> None:
    power = Objective(kl=1, weights="power", gamma=0.5).weights_K(3)
    assert power == pytest.approx([4 / 7, 2 / 7, 1 / 7])
    assert Objective(kl=1).weights_K(4) == [0.25] * 4
    falling = Objective(kl=1, weights="exponential", gamma=2.0).weights_K(2)
    assert falling[1] / falling[0] == pytest.approx(2.718281828**-0.5)


@pytest.mark.parametrize(
    "wrong", [{}, {"kl": -1.0}, {"kl": 1, "weights": "linear"}, {"kl": 1, "logits_mib": 0}]
)
def test_what_cannot_be_meant_is_told(wrong: dict[str, object]) -> None:
    with pytest.raises(UserError, match="given"):
        Objective(**wrong)  # type: ignore[arg-type]
