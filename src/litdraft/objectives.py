"""What a drafter is trained to do: pure functions of logits, summed in chunks.

For a teacher p (the target) and a student q (the drafter), both over the next token:
`ce` is -log q(y) on the text's token y; `kl` is the forward divergence sum p log(p / q)
(Hinton et al., arXiv 1503.02531; DistillSpec, arXiv 2310.08461).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from litdraft.protocols import place_in
from litdraft.sampling import log_softmax

Unembed = Callable[[Tensor, int], Tensor]
Teacher = Callable[[Tensor], Tensor]


def ce(student_nV: Tensor, teacher_nV: Tensor | None, labels_n: Tensor) -> Tensor:
    """Cross-entropy to the text's own tokens; needs no teacher. A token that cannot be drafted
    (label -1) teaches nothing."""
    chosen_n = student_nV.gather(1, labels_n.clamp_min(0)[:, None])[:, 0]
    return torch.where(labels_n < 0, 0.0, -chosen_n)


def kl(student_nV: Tensor, teacher_nV: Tensor | None, labels_n: Tensor) -> Tensor:
    """Forward KL divergence from the target's distribution."""
    assert teacher_nV is not None
    return (teacher_nV.exp() * (teacher_nV - student_nV)).sum(-1)


LOSSES = {"ce": ce, "kl": kl}


class Sums(NamedTuple):
    """Totals per draft position: counts below, rates above.

    acceptance_K sums the chance that a draft is accepted, sum min(p, q) (Leviathan et al.,
    arXiv 2211.17192); without a teacher, how often the likeliest token was the text's own.
    """

    loss_K: Tensor
    count_K: Tensor
    acceptance_K: Tensor


class Objective:
    """A loss over k future tokens, weighted per draft position.

    Walks over predicting positions in chunks of `chunk` rows: one teacher row serves every draft
    position, and logits are recomputed in the backward pass rather than kept, so memory does not
    grow with the text, with k, or with the batch.
    """

    def __init__(self, loss: str = "kl", decay: float = 1.0, chunk: int = 1024) -> None:
        self.loss = LOSSES[loss]
        self.needs_teacher = loss != "ce"
        self.decay = decay
        self.chunk = chunk

    def weights_K(self, k: int) -> list[float]:
        """decay^(j-1), scaled to sum to one (0.8 in Medusa, arXiv 2401.10774)."""
        raw = [self.decay**j for j in range(k)]
        return [weight / sum(raw) for weight in raw]

    def sums(
        self,
        states_BSKC: Tensor,
        unembed: Unembed,
        teacher: Teacher | None,
        labels_BS: Tensor,
        trained_BS: Tensor,
        lead: int = 1,
        vocabulary_U: Tensor | None = None,
        start_BS: Tensor | None = None,
    ) -> Sums:
        """Sums over all trained (s, j) with s >= j + lead, counted from where a text starts.

        `teacher` maps chosen flat positions to logits_nV. `lead` is how many tokens are read
        before the first is predicted: 1 behind a target, 0 for a language model of its own.
        With a reduced draft vocabulary the divergence is summed over that part, and what the
        teacher holds outside of it counts as rejected.
        """
        chosen_n = trained_BS.flatten().nonzero()[:, 0]
        place_n = chosen_n % trained_BS.shape[1]
        if start_BS is not None:
            place_n = place_n - start_BS.flatten()[chosen_n]
        states_nKC = states_BSKC.flatten(0, 1)
        labels_n = place_in(vocabulary_U, labels_BS.flatten())
        k = states_nKC.shape[1]
        parts = [[labels_n.new_zeros(3, dtype=torch.float32)] for _ in range(k)]
        for rows, places in zip(chosen_n.split(self.chunk), place_n.split(self.chunk), strict=True):
            with torch.no_grad():
                taught_nV = log_softmax(teacher(rows)) if teacher is not None else None
                if taught_nV is not None and vocabulary_U is not None:
                    taught_nV = taught_nV[:, vocabulary_U]
            for j in range(k):
                arguments = (unembed, j, taught_nV, labels_n[rows], places >= j + lead)
                parts[j].append(
                    checkpoint(self._chunk, states_nKC[rows, j], *arguments, use_reentrant=False)
                )
        return Sums(*torch.stack([torch.stack(part).sum(0) for part in parts], 1))

    def _chunk(
        self,
        states_nC: Tensor,
        unembed: Unembed,
        j: int,
        taught_nV: Tensor | None,
        labels_n: Tensor,
        real_n: Tensor,
    ) -> Tensor:
        """Summed loss, count and acceptance of one draft position over some positions."""
        student_nV = log_softmax(unembed(states_nC, j))
        loss_n = self.loss(student_nV, taught_nV, labels_n)
        with torch.no_grad():
            if taught_nV is None:
                agreed_n = student_nV.argmax(-1) == labels_n
            else:
                agreed_n = torch.minimum(student_nV, taught_nV).exp().sum(-1)
        terms_3n = torch.stack((loss_n, torch.ones_like(loss_n), agreed_n.to(loss_n.dtype)))
        return torch.where(real_n, terms_3n, 0.0).sum(1)
