"""What a drafter is trained to do: pure functions of log-probabilities, summed in chunks.

For a teacher p (the target) and a student q (the drafter), both over the next token:

    ce          -log q(y) on the text's own token y
    kl          sum p log(p / q) (Hinton et al., arXiv 1503.02531; DistillSpec, arXiv 2310.08461)
    reverse_kl  sum q log(q / p)
    jsd         the mean of both divergences from (p + q) / 2 (Lin, 1991)
    tv          1 - sum min(p, q): the chance that a draft is rejected (arXiv 2211.17192)
    lk          -log sum min(p, q) (arXiv 2602.23881)
    lk_hybrid   a kl + (1 - a) tv, where a = exp(-eta sum min(p, q)) is taken as given (the same)

With a reduced draft vocabulary, kl, reverse_kl and jsd compare q with p given that part of the
vocabulary; tv and lk count what p holds outside of it as rejected, as verification does.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.chunked import Teacher, Unembedding, Work, walk
from litdraft.errors import UserError
from litdraft.protocols import place_in
from litdraft.sampling import log_softmax

WEIGHTS = ("uniform", "power", "exponential")


class Taught(NamedTuple):
    """The teacher's log-probabilities over the draft vocabulary: as they are, given that
    vocabulary, and the probabilities and entropy of the latter."""

    raw_nU: Tensor
    given_nU: Tensor
    probs_nU: Tensor
    entropy_n: Tensor


class Terms(NamedTuple):
    """What the losses of n positions are made of; overlap_n = sum min(p, q)."""

    student_nU: Tensor
    labels_n: Tensor
    eta: float
    teacher: Taught | None
    overlap_n: Tensor | None

    @property
    def taught(self) -> Taught:
        assert self.teacher is not None
        return self.teacher

    @property
    def kept_n(self) -> Tensor:
        assert self.overlap_n is not None
        return self.overlap_n


def ce(terms: Terms) -> Tensor:
    """A token that cannot be drafted (label -1) teaches nothing."""
    chosen_n = terms.student_nU.gather(1, terms.labels_n.clamp_min(0)[:, None])[:, 0]
    return torch.where(terms.labels_n < 0, 0.0, -chosen_n)


def kl(terms: Terms) -> Tensor:
    return -(terms.taught.probs_nU * terms.student_nU).sum(-1) - terms.taught.entropy_n


def reverse_kl(terms: Terms) -> Tensor:
    return _divergence(terms.student_nU, terms.taught.given_nU)


def jsd(terms: Terms) -> Tensor:
    both = (terms.student_nU, terms.taught.given_nU)
    middle_nU = torch.logaddexp(*both) - math.log(2)
    return sum((_divergence(some_nU, middle_nU) for some_nU in both), torch.zeros(())) / 2


def tv(terms: Terms) -> Tensor:
    return 1 - terms.kept_n


def lk(terms: Terms) -> Tensor:
    return -terms.kept_n.clamp_min(torch.finfo(terms.kept_n.dtype).tiny).log()


def lk_hybrid(terms: Terms) -> Tensor:
    """Far from the teacher a divergence, which has a slope there; near it what really counts."""
    share_n = torch.exp(-terms.eta * terms.kept_n.detach())
    return share_n * kl(terms) + (1 - share_n) * tv(terms)


def _divergence(p_nU: Tensor, q_nU: Tensor) -> Tensor:
    return (p_nU.exp() * (p_nU - q_nU)).sum(-1)


LOSSES = {loss.__name__: loss for loss in (ce, kl, reverse_kl, jsd, tv, lk, lk_hybrid)}
OVERLAPS = {"tv", "lk", "lk_hybrid"}  # whose gradients flow through min(p, q)


class Sums(NamedTuple):
    """Totals per draft position: counts below, rates above.

    loss is their weighted mean, to be minimized. acceptance_K sums the chance that a draft is
    accepted, sum min(p, q); without a teacher, how often the likeliest token was the text's own.
    """

    loss: Tensor
    loss_K: Tensor
    count_K: Tensor
    acceptance_K: Tensor


class Objective:
    """A weighted sum of losses over k future tokens, weighted per draft position.

    Walks over predicting positions in chunks whose logits take `logits_mib` MiB: one teacher row
    serves every draft position, and each chunk's gradient is computed at once, so that its logits
    are made once and never kept. Memory does not grow with the text, with k, or with the batch.
    """

    def __init__(
        self,
        ce: float = 0.0,
        kl: float = 0.0,
        reverse_kl: float = 0.0,
        jsd: float = 0.0,
        tv: float = 0.0,
        lk: float = 0.0,
        lk_hybrid: float = 0.0,
        eta: float = 3.0,
        weights: str = "uniform",
        gamma: float = 0.8,
        logits_mib: float = 24.0,
    ) -> None:
        given = (ce, kl, reverse_kl, jsd, tv, lk, lk_hybrid)
        self.losses = {n: w for n, w in zip(LOSSES, given, strict=True) if w != 0}
        if not self.losses or min(given) < 0:
            raise UserError(
                f"the objective was given {dict(zip(LOSSES, given, strict=True))}: no weight may "
                "be negative, and one must be above 0"
            )
        if weights not in WEIGHTS or gamma <= 0 or logits_mib <= 0:
            raise UserError(
                f"objective.weights={weights}, gamma={gamma}, logits_mib={logits_mib} was given: "
                f"weights is one of {', '.join(WEIGHTS)}, the others are above 0"
            )
        self.eta, self.weights, self.gamma, self.logits_mib = eta, weights, gamma, logits_mib

    @property
    def needs_teacher(self) -> bool:
        return set(self.losses) != {"ce"}

    def weights_K(self, k: int) -> list[float]:
        """Scaled to sum to one: uniform; power, gamma^(j-1) (0.8 in Medusa, arXiv 2401.10774); or
        exponential, e^(-(j-1)/gamma)."""
        rates = {"uniform": 1.0, "power": self.gamma, "exponential": math.exp(-1 / self.gamma)}
        raw = [rates[self.weights] ** j for j in range(k)]
        return [weight / sum(raw) for weight in raw]

    def sums(
        self,
        states_BSKC: Tensor,
        head: Unembedding,
        teacher: Teacher | None,
        labels_BS: Tensor,
        trained_BS: Tensor,
        lead: int = 1,
        vocabulary_U: Tensor | None = None,
        start_BS: Tensor | None = None,
        shared: Callable[[Tensor], Tensor] = lambda count_K: count_K,
    ) -> Sums:
        """Sums over all trained (s, j) with s >= j + lead, counted from where a text starts.

        `teacher` maps chosen flat positions to logits_nV. `lead` is how many tokens are read
        before the first is predicted: 1 behind a target, 0 for a language model of its own.
        `shared` sums counts over processes, so that N of them weigh positions as one would.
        """
        chosen_n = trained_BS.flatten().nonzero()[:, 0]
        place_n = chosen_n % trained_BS.shape[1]
        if start_BS is not None:
            place_n = place_n - start_BS.flatten()[chosen_n]
        k = states_BSKC.shape[2]
        steps_K = torch.arange(k, device=chosen_n.device)
        real_nK = place_n[:, None] >= steps_K + lead
        count_K = real_nK.sum(0).float()
        weights_K = count_K.new_tensor(self.weights_K(k)) / shared(count_K).clamp_min(1)
        labels_n = place_in(vocabulary_U, labels_BS.flatten())
        work = Work(chosen_n, real_nK, weights_K, labels_n, teacher, Measure(self, vocabulary_U))
        sums = walk(states_BSKC.flatten(0, 1), head, work, self.logits_mib)
        return Sums(sums[0], sums[1], count_K, sums[2])


@dataclass(frozen=True)
class Measure:
    """An objective over a draft vocabulary, in which labels are counted as well."""

    objective: Objective
    vocabulary_U: Tensor | None = None

    def taught(self, logits_nV: Tensor) -> Taught:
        raw_nU = given_nU = log_softmax(logits_nV)
        if self.vocabulary_U is not None:
            raw_nU = raw_nU[:, self.vocabulary_U]
            given_nU = raw_nU - raw_nU.logsumexp(-1, keepdim=True)
        probs_nU = given_nU.exp()
        return Taught(raw_nU, given_nU, probs_nU, -(probs_nU * given_nU).sum(-1))

    def losses(
        self, student_nU: Tensor, taught: Taught | None, labels_n: Tensor
    ) -> tuple[Tensor, Tensor]:
        """loss_n and acceptance_n."""
        weights, overlap_n = self.objective.losses, None
        if taught is None:
            kept_n = (student_nU.argmax(-1) == labels_n).to(student_nU.dtype)
        else:
            needed = torch.is_grad_enabled() and not weights.keys().isdisjoint(OVERLAPS)
            with torch.set_grad_enabled(needed):
                overlap_n = torch.minimum(student_nU, taught.raw_nU).exp().sum(-1)
            kept_n = overlap_n.detach()
        terms = Terms(student_nU, labels_n, self.objective.eta, taught, overlap_n)
        parts = [weight * LOSSES[name](terms) for name, weight in weights.items()]
        return torch.stack(parts).sum(0), kept_n
