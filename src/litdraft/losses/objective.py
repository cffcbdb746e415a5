"""What a drafter is trained to do: pure functions with their slopes, summed in chunks.

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
from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.losses.chunked import Unembedding, Work, walk
from litdraft.protocols import Teacher, vocabulary_index
from litdraft.sampling import log_softmax

WEIGHTS = ("uniform", "power", "exponential")
Found = tuple[Tensor, Tensor]  # value_n of a loss, and its slope_nU in the student's logits


@dataclass(frozen=True)
class Taught:
    """What a teacher says over the draft vocabulary: probabilities as they are, and given that
    vocabulary; the latter's logarithms and entropy."""

    raw_nU: Tensor
    given_nU: Tensor
    logs_nU: Tensor

    def to(self, dtype: torch.dtype) -> Taught:
        if self.raw_nU.dtype == dtype:
            return self
        return Taught(self.raw_nU.to(dtype), self.given_nU.to(dtype), self.logs_nU.to(dtype))

    @cached_property
    def entropy_n(self) -> Tensor:
        negative_n: Tensor = torch.linalg.vecdot(self.given_nU, self.logs_nU)
        return -negative_n


@dataclass(frozen=True)
class Terms:
    """What losses at n positions are made of. labels_n are counted in the draft vocabulary."""

    logits_nU: Tensor
    labels_n: Tensor
    eta: float
    teacher: Taught | None

    @property
    def p(self) -> Taught:
        assert self.teacher is not None, "this loss needs a teacher"
        return self.teacher

    @cached_property
    def norm_n(self) -> Tensor:
        return self.logits_nU.logsumexp(-1)

    @cached_property
    def q_nU(self) -> Tensor:
        return (self.logits_nU - self.norm_n[:, None]).exp_()

    @cached_property
    def kept_n(self) -> Tensor:
        """Sum min(p, q); without a teacher, whether the likeliest token is the text's own."""
        if self.teacher is None:
            return (self.logits_nU.argmax(-1) == self.labels_n).to(self.logits_nU.dtype)
        return torch.minimum(self.q_nU, self.teacher.raw_nU).sum(-1)

    @cached_property
    def rising_nU(self) -> Tensor:
        """The slope of -sum min(p, q): only tokens with q < p add to it."""
        below_nU = self.q_nU * (self.q_nU < self.p.raw_nU)
        return self.q_nU * below_nU.sum(-1, keepdim=True) - below_nU


def ce(terms: Terms) -> Found:
    """A token that cannot be drafted (label -1) teaches nothing."""
    known_n, place_n1 = terms.labels_n >= 0, terms.labels_n.clamp_min(0)[:, None]
    value_n = terms.norm_n - terms.logits_nU.gather(1, place_n1)[:, 0]
    slope_nU = terms.q_nU.scatter_add(1, place_n1, -torch.ones_like(value_n)[:, None])
    return torch.where(known_n, value_n, 0.0), slope_nU * known_n[:, None]


def kl(terms: Terms) -> Found:
    p = terms.p
    value_n = terms.norm_n - torch.linalg.vecdot(p.given_nU, terms.logits_nU) - p.entropy_n
    return value_n, terms.q_nU - p.given_nU


def reverse_kl(terms: Terms) -> Found:
    apart_nU = terms.logits_nU - terms.norm_n[:, None] - terms.p.logs_nU
    return _weighed(terms.q_nU, apart_nU)


def jsd(terms: Terms) -> Found:
    logs_nU = terms.logits_nU - terms.norm_n[:, None]
    middle_nU = torch.logaddexp(logs_nU, terms.p.logs_nU) - math.log(2)
    value_n, slope_nU = _weighed(terms.q_nU, logs_nU - middle_nU)
    other_n = torch.linalg.vecdot(terms.p.given_nU, terms.p.logs_nU - middle_nU)
    return (value_n + other_n) / 2, slope_nU / 2


def tv(terms: Terms) -> Found:
    return 1 - terms.kept_n, terms.rising_nU


def lk(terms: Terms) -> Found:
    kept_n = terms.kept_n.clamp_min(torch.finfo(terms.kept_n.dtype).tiny)
    return -kept_n.log(), terms.rising_nU / kept_n[:, None]


def lk_hybrid(terms: Terms) -> Found:
    """Far from the teacher a divergence, which has a slope there; near it what really counts."""
    share_n = torch.exp(-terms.eta * terms.kept_n)
    (far_n, far_nU), (near_n, near_nU) = kl(terms), tv(terms)
    return torch.lerp(near_n, far_n, share_n), torch.lerp(near_nU, far_nU, share_n[:, None])


def _weighed(q_nU: Tensor, x_nU: Tensor) -> Found:
    """Sum q x, and its slope where x is log q plus what does not depend on q, or is as good."""
    value_n = torch.linalg.vecdot(q_nU, x_nU)
    return value_n, q_nU * (x_nU - value_n[:, None])


LOSSES = {loss.__name__: loss for loss in (ce, kl, reverse_kl, jsd, tv, lk, lk_hybrid)}


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
        logits_mib: float = 16.0,
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
        count_K = real_nK.sum(0)
        counted_K = shared(count_K).clamp_min(1)
        weights_K = torch.tensor(self.weights_K(k), device=count_K.device) / counted_K
        labels_n = vocabulary_index(vocabulary_U, labels_BS.flatten())
        work = Work(chosen_n, real_nK, weights_K, labels_n, teacher, Measure(self, vocabulary_U))
        sums = walk(states_BSKC.flatten(0, 1), head, work, self.logits_mib)
        return Sums(sums[0], sums[1], count_K, sums[2])


@dataclass(frozen=True)
class Measure:
    """An objective over a draft vocabulary, in which labels are counted as well."""

    objective: Objective
    vocabulary_U: Tensor | None = None

    def taught(self, logits_nV: Tensor) -> Taught:
        logs_nU = log_softmax(logits_nV)
        if self.vocabulary_U is None:
            raw_nU = given_nU = logs_nU.exp()
        else:
            logs_nU = logs_nU[:, self.vocabulary_U]
            raw_nU = logs_nU.exp()
            mass_n1 = raw_nU.sum(-1, keepdim=True)
            given_nU, logs_nU = raw_nU / mass_n1, logs_nU - mass_n1.log()
        return Taught(raw_nU, given_nU, logs_nU)

    def found(
        self, logits_nU: Tensor, taught: Taught | None, labels_n: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """loss_n, acceptance_n, and the loss's slope_nU in the logits."""
        exact = torch.promote_types(logits_nU.dtype, torch.float32)
        if taught is not None:
            exact = torch.promote_types(exact, taught.raw_nU.dtype)
            taught = taught.to(exact)
        logits_nU = logits_nU.to(exact)
        terms = Terms(logits_nU, labels_n, self.objective.eta, taught)
        weights = self.objective.losses
        parts = [(weight, *LOSSES[name](terms)) for name, weight in weights.items()]
        loss_n = torch.stack([weight * value_n for weight, value_n, _ in parts]).sum(0)
        weight, _, slope_nU = parts[0]
        slope_nU = slope_nU * weight
        for weight, _, more_nU in parts[1:]:
            slope_nU = torch.add(slope_nU, more_nU, alpha=weight)
        return loss_n, terms.kept_n, slope_nU
