"""A loss over a vocabulary, walked in chunks that compute their own gradients.

Logits of every position at once would be the largest tensor of training by far. Here a chunk's
logits are made once, its loss and its gradient are taken at once, and they are gone before the next
one's. Backward only hands over what was summed: the idea of Liger Kernel (arXiv 2410.10989) and of
Cut Your Losses (arXiv 2411.09009), without kernels of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.sampling import log_softmax

Teacher = Callable[[Tensor], Tensor]


class Loss(Protocol):
    """What is to be minimized, at positions that do not know of each other."""

    def taught(self, logits_nV: Tensor) -> Any:
        """What a teacher's logits say, computed once for all draft positions."""

    def losses(self, student_nU: Tensor, taught: Any, labels_n: Tensor) -> tuple[Tensor, Tensor]:
        """loss_n and acceptance_n, from the student's log-probabilities."""


class Unembedding(Protocol):
    """What of a drafter makes logits of states."""

    def unembed(self, states_nC: Tensor, j: int) -> Tensor: ...

    def matrix(self, j: int) -> Tensor | None:
        """weight_UC, where `unembed` multiplies with this parameter and does nothing else: its
        gradient is then added up in place, and exists once instead of twice."""

    def parameters(self) -> Iterator[nn.Parameter]: ...


class Chunk(NamedTuple):
    """Some flat positions: for which draft positions they count, labels, and what is taught."""

    rows_n: Tensor
    real_nK: Tensor
    labels_n: Tensor
    taught: Any  # None without a teacher

    def sums_2(self, work: Work, logits_nU: Tensor, j: int) -> Tensor:
        """Loss and acceptance of draft position j."""
        told = work.loss.losses(log_softmax(logits_nU), self.taught, self.labels_n)
        terms_2n = torch.stack(tuple(part.to(told[0].dtype) for part in told))
        return torch.where(self.real_nK[:, j], terms_2n, 0.0).sum(1)


class Work(NamedTuple):
    """Which flat positions count, for which draft positions and how much; their labels, their
    teacher, who maps some of them to logits_nV, and the loss."""

    chosen_n: Tensor
    real_nK: Tensor
    weights_K: Tensor
    labels_n: Tensor
    teacher: Teacher | None
    loss: Loss

    def chunks(self, size: int) -> Iterator[Chunk]:
        for rows_n, real_nK in zip(
            self.chosen_n.split(size), self.real_nK.split(size), strict=True
        ):
            taught = None if self.teacher is None else self.loss.taught(self.teacher(rows_n))
            yield Chunk(rows_n, real_nK, self.labels_n[rows_n], taught)


def walk(
    states_nKC: Tensor, head: Unembedding, work: Work, logits_mib: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The weighted loss, loss_K and acceptance_K; gradients flow through the first alone.

    A chunk's logits take about `logits_mib` MiB in float32; what is computed with them, some ten
    times that.
    """
    learned = [weight for weight in head.parameters() if weight.requires_grad]
    learns = torch.is_grad_enabled() and (states_nKC.requires_grad or bool(learned))
    told: tuple[Tensor, Tensor, Tensor] = _Walk.apply(
        (head, work, logits_mib, learns), states_nKC, *learned
    )  # type: ignore[no-untyped-call]
    return told


class _Walk(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, asked: tuple[Any, ...], states_nKC: Tensor, *learned: Tensor) -> Any:
        head, work, logits_mib, learns = asked
        exact = torch.promote_types(states_nKC.dtype, torch.float32)
        sums_2K = states_nKC.new_zeros(2, states_nKC.shape[1], dtype=exact)
        ctx.grown = _Grown(head, work, states_nKC, learned) if learns else None
        size = int(logits_mib * 2**20 / (4 * head.unembed(states_nKC[:1, 0], 0).shape[-1]))
        for chunk in work.chunks(max(size, 1)):
            for j in range(states_nKC.shape[1]):
                states_nC = states_nKC[chunk.rows_n, j]
                if ctx.grown is None:
                    sums_2K[:, j] += chunk.sums_2(work, head.unembed(states_nC, j), j)
                else:
                    sums_2K[:, j] += ctx.grown.add(chunk, states_nC, j)
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(parts := sums_2K.unbind()))
        return (work.weights_K * sums_2K[0]).sum(), *parts

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        # Nobody else may hold a sum, or it would be copied where it becomes a weight's gradient.
        return None, *(sum_ if sum_ is None else sum_.mul_(gradient) for sum_ in ctx.grown.taken())


class _Grown:
    """Sums of gradients: of states, and of those weights that unembedding was seen to use."""

    def __init__(
        self, head: Unembedding, work: Work, states_nKC: Tensor, learned: Sequence[Tensor]
    ) -> None:
        self.head, self.work, self.learned = head, work, learned
        self.states_nKC = torch.zeros_like(states_nKC)
        self.weights: dict[int, Tensor] = {}

    def add(self, chunk: Chunk, states_nC: Tensor, j: int) -> Tensor:
        """One chunk at draft position j: its sums_2, and what its loss asks of everything."""
        matrix_UC = self.head.matrix(j)
        with torch.enable_grad():
            if matrix_UC is None or not matrix_UC.requires_grad:
                logits_nU = self.head.unembed(states_nC.requires_grad_(), j)
                given: tuple[Tensor, ...] = (states_nC, *self.learned)
            else:
                logits_nU = F.linear(states_nC, matrix_UC).detach().requires_grad_()
                given = (logits_nU,)
            sums_2 = chunk.sums_2(self.work, logits_nU, j)
            loss = sums_2[0] * self.work.weights_K[j]
        asked, *rest = torch.autograd.grad(loss, given, allow_unused=True)
        if given[0] is logits_nU and matrix_UC is not None:
            of_UC = self._of(matrix_UC)
            of_UC.addmm_(asked.T.to(of_UC.dtype), states_nC.to(of_UC.dtype))
            asked = asked @ matrix_UC
        for weight, gradient in zip(self.learned, rest, strict=False):
            if gradient is not None:
                self._of(weight).add_(gradient)
        self.states_nKC[chunk.rows_n, j] = asked.to(self.states_nKC.dtype)
        return sums_2.detach()

    def _of(self, weight: Tensor) -> Tensor:
        if id(weight) not in self.weights:
            self.weights[id(weight)] = torch.zeros_like(weight)
        return self.weights[id(weight)]

    def taken(self) -> Iterator[Tensor | None]:
        """The sums, which are forgotten here."""
        yield self.__dict__.pop("states_nKC")
        for weight in self.learned:
            yield self.weights.pop(id(weight), None)
