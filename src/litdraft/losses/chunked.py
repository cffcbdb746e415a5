"""A loss over a vocabulary, walked in chunks that compute their own gradients.

Logits of every position at once would be the largest tensor of training by far. Here a chunk's
logits are made once, its loss and its gradient are taken at once, and they are gone before the next
one's. Backward only hands over what was summed: the idea of Liger Kernel (arXiv 2410.10989) and of
Cut Your Losses (arXiv 2411.09009), without kernels of their own.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.protocols import Teacher


class Loss(Protocol):
    """What is to be minimized, at positions that do not know of each other."""

    def taught(self, logits_nV: Tensor) -> Any:
        """What a teacher's logits say, computed once for all draft positions."""

    def found(
        self, logits_nU: Tensor, taught: Any, labels_n: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """loss_n, acceptance_n, and the loss's slope_nU in the logits."""


class Unembedding(Protocol):
    """What of a drafter makes logits of states."""

    def unembed(self, states_nC: Tensor, j: int) -> Tensor: ...

    def unembedding_weight(self, j: int) -> Tensor | None:
        """weight_UC, where `unembed` multiplies with this parameter and does nothing else: its
        gradient is then added up in place, and exists once instead of twice."""

    def parameters(self) -> Iterator[nn.Parameter]: ...


class Chunk(NamedTuple):
    """Some flat positions: for which draft positions they count, labels, and what is taught."""

    rows_n: Tensor
    real_nK: Tensor
    labels_n: Tensor
    taught: Any  # None without a teacher

    def found(self, work: Work, logits_nU: Tensor, j: int) -> tuple[Tensor, Tensor]:
        """Sums of loss and acceptance at draft position j, and slope_nU of the weighted loss."""
        loss_n, kept_n, slope_nU = work.loss.found(logits_nU, self.taught, self.labels_n)
        real_n = self.real_nK[:, j]
        sums_2 = torch.where(real_n, torch.stack((loss_n, kept_n)), 0.0).sum(1)
        return sums_2, slope_nU.mul_((real_n * work.weights_K[j])[:, None])


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
        ctx.grown = GradAccumulator(head, work, states_nKC, learned) if learns else None
        widths = [head.unembed(states_nKC[:0, 0], 0).shape[-1]]  # of no rows: nothing is computed
        if work.teacher is not None:
            widths.append(work.teacher(work.chosen_n[:0]).shape[-1])
        size = int(logits_mib * 2**20 / (4 * max(widths)))
        for chunk in work.chunks(max(size, 1)):
            if ctx.grown is not None:
                ctx.grown.add(chunk, states_nKC, sums_2K)
                continue
            for j, sums_2 in enumerate(sums_2K.unbind(1)):
                logits_nU = head.unembed(states_nKC[chunk.rows_n, j], j)
                sums_2 += chunk.found(work, logits_nU, j)[0]
        ctx.set_materialize_grads(False)
        ctx.mark_non_differentiable(*(parts := sums_2K.unbind()))
        return (work.weights_K * sums_2K[0]).sum(), *parts

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Any) -> Any:
        # Nobody else may hold a sum, or it would be copied where it becomes a weight's gradient.
        return None, *(sum_ if sum_ is None else sum_.mul_(gradient) for sum_ in ctx.grown.taken())


class GradAccumulator:
    """Sums of gradients: of states, and of those weights that unembedding was seen to use."""

    def __init__(
        self, head: Unembedding, work: Work, states_nKC: Tensor, learned: Sequence[Tensor]
    ) -> None:
        self.head, self.work, self.learned = head, work, learned
        self.states_nKC = torch.zeros_like(states_nKC)
        self.weights: dict[int, Tensor] = {}
        one_by_one = enumerate(map(head.unembedding_weight, range(states_nKC.shape[1])))
        groups = itertools.groupby(one_by_one, lambda each: id(each[1]))
        self.groups = [list(zip(*group, strict=True)) for _, group in groups]

    def add(self, chunk: Chunk, states_nKC: Tensor, sums_2K: Tensor) -> None:
        """One chunk: to its sums_2K, and what its loss asks of everything."""
        for places, (matrix_UC, *_) in self.groups:
            states_JnC = torch.stack([states_nKC[chunk.rows_n, j] for j in places])
            if matrix_UC is None or not matrix_UC.requires_grad:
                asked_JnC = self._by_autograd(chunk, places, states_JnC, sums_2K)
            else:
                asked_JnC = self._by_matrix(chunk, places, states_JnC, sums_2K, matrix_UC)
            for j, asked_nC in zip(places, asked_JnC, strict=True):
                self.states_nKC[chunk.rows_n, j] = asked_nC.to(self.states_nKC.dtype)

    def _by_matrix(
        self,
        chunk: Chunk,
        places: Sequence[int],
        states_JnC: Tensor,
        sums_2K: Tensor,
        matrix_UC: Tensor,
    ) -> Tensor:
        """Draft positions that share a matrix share its passes: a large one is read, and its
        gradient added to, once a chunk. Slopes are written over the logits they come from."""
        of_UC = self._of(matrix_UC)
        slopes_JnU = F.linear(states_JnC, matrix_UC).to(of_UC.dtype)
        for j, logits_nU in zip(places, slopes_JnU, strict=True):
            sums_2, slope_nU = chunk.found(self.work, logits_nU, j)
            sums_2K[:, j] += sums_2
            logits_nU.copy_(slope_nU)
        of_UC.addmm_(slopes_JnU.flatten(0, 1).T, states_JnC.flatten(0, 1).to(of_UC.dtype))
        return slopes_JnU.to(matrix_UC.dtype) @ matrix_UC

    def _by_autograd(
        self, chunk: Chunk, places: Sequence[int], states_JnC: Tensor, sums_2K: Tensor
    ) -> Tensor:
        asked = []
        for j, states_nC in zip(places, states_JnC, strict=True):
            with torch.enable_grad():
                logits_nU = self.head.unembed(states_nC.requires_grad_(), j)
            sums_2, slope_nU = chunk.found(self.work, logits_nU.detach(), j)
            sums_2K[:, j] += sums_2
            given, slope_nU = (states_nC, *self.learned), slope_nU.to(logits_nU.dtype)
            asked_nC, *rest = torch.autograd.grad(logits_nU, given, slope_nU, allow_unused=True)
            asked.append(asked_nC)
            for weight, gradient in zip(self.learned, rest, strict=True):
                if gradient is not None:
                    self._of(weight).add_(gradient)
        return torch.stack(asked)

    def _of(self, weight: Tensor) -> Tensor:
        if id(weight) not in self.weights:
            self.weights[id(weight)] = torch.zeros_like(weight)
        return self.weights[id(weight)]

    def taken(self) -> Iterator[Tensor | None]:
        """The sums, which are forgotten here."""
        yield self.__dict__.pop("states_nKC")
        for weight in self.learned:
            yield self.weights.pop(id(weight), None)
