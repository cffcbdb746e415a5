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

from litdraft.sampling import log_softmax

Unembed = Callable[[Tensor, int], Tensor]
Teacher = Callable[[Tensor], Tensor]


def ce(student_nV: Tensor, teacher_nV: Tensor | None, labels_n: Tensor) -> Tensor:
    """Cross-entropy to the text's own tokens; needs no teacher."""
    return -student_nV.gather(1, labels_n[:, None])[:, 0]


def kl(student_nV: Tensor, teacher_nV: Tensor | None, labels_n: Tensor) -> Tensor:
    """Forward KL divergence from the target's distribution."""
    assert teacher_nV is not None
    return (teacher_nV.exp() * (teacher_nV - student_nV)).sum(-1)


LOSSES = {"ce": ce, "kl": kl}


class Sums(NamedTuple):
    """Totals per draft position: counts below, rates above."""

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
    ) -> Sums:
        """Sums over all trained (s, j) with s > j; `teacher` maps chosen flat s to logits_nV."""
        k = states_BSKC.shape[2]
        chosen_n = trained_BS.flatten().nonzero()[:, 0]
        place_S = torch.arange(trained_BS.shape[1], device=labels_BS.device)
        place_n = place_S.repeat(trained_BS.shape[0])[chosen_n]
        states_nKC, labels_n = states_BSKC.flatten(0, 1), labels_BS.flatten()
        zero_K = torch.zeros(k, device=labels_n.device)
        total = Sums(zero_K, zero_K.clone(), zero_K.clone())
        for rows, places in zip(chosen_n.split(self.chunk), place_n.split(self.chunk), strict=True):
            with torch.no_grad():
                taught = log_softmax(teacher(rows)) if teacher is not None else None
            for j in range(k):
                real = places > j if teacher is not None else places >= 0
                part = checkpoint(
                    self._chunk, states_nKC[rows, j], unembed, j, taught, labels_n[rows], real,
                    use_reentrant=False,
                )  # fmt: skip
                for sum_K, value in zip(total, part, strict=True):
                    sum_K[j] += value
        return total

    def _chunk(
        self,
        states_nC: Tensor,
        unembed: Unembed,
        j: int,
        taught_nV: Tensor | None,
        labels_n: Tensor,
        real_n: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        student_nV = log_softmax(unembed(states_nC, j))
        loss_n = self.loss(student_nV, taught_nV, labels_n)
        with torch.no_grad():
            if taught_nV is None:
                agreed_n = (student_nV.argmax(-1) == labels_n).to(loss_n.dtype)
            else:
                agreed_n = torch.minimum(student_nV, taught_nV).exp().sum(-1)
        zero = loss_n.new_zeros(())
        return (
            torch.where(real_n, loss_n, zero).sum(),
            real_n.sum().to(loss_n.dtype),
            torch.where(real_n, agreed_n, zero).sum(),
        )
