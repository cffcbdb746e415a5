"""What lets the j-th parallel guess see the draft before it."""

from __future__ import annotations

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from litdraft.errors import UserError
from litdraft.native.build import linear, packed

KINDS = ("gated", "gru")


class Correction(nn.Module):
    """A low-rank bias on logits, from the token before: V_out r_j with r_j of `rank` numbers.

    Parallel heads guess their tokens independently of each other; adding B(x_{j-1}, .) of low rank
    is the cheapest known remedy (the Markov head of DSpark, and Domino). `gated`:
    r_j = sigmoid(W [s_j; e_{j-1}]) * e_{j-1}, with e the embedding of the token before; `gru`: a
    gated recurrent unit (Cho et al., arXiv 1406.1078) over these embeddings, which starts as a
    function of the target's hidden state. Begins as no bias at all.
    """

    def __init__(
        self, kind: str, rank: int, vocabulary: int, outputs: int, hidden: int, states: int
    ) -> None:
        super().__init__()
        if kind not in KINDS or rank < 1:
            raise UserError(
                f"correction={kind}, rank={rank} was given: correction is null, "
                f"{' or '.join(KINDS)}, and rank at least 1"
            )
        self.rank = rank
        self._packed: Callable[[Tensor], Tensor] | None = None
        self.embedding = nn.Embedding(vocabulary, rank)
        self.out = nn.Linear(rank, outputs, bias=False)
        nn.init.zeros_(self.out.weight)
        self.gate = nn.Linear(states + rank, rank) if kind == "gated" else None
        self.cell = nn.GRUCell(rank, rank) if kind == "gru" else None
        self.first = nn.Linear(hidden, rank) if kind == "gru" else None

    def begin(self, hidden_nD: Tensor) -> Tensor | None:
        """memory_nR before the first token; None for a kind without one."""
        if self.first is None:
            return None
        memory_nR: Tensor = self.first(hidden_nD).tanh()
        return memory_nR

    def step(self, memory_nR: Tensor | None, token_n: Tensor, states_nC: Tensor) -> Tensor:
        """Read the token before; read_nR, to be unembedded, and a `gru`'s next memory."""
        embedded_nR: Tensor = self.embedding(token_n)
        if self.cell is not None:
            read_nR: Tensor = self.cell(embedded_nR, memory_nR)
            return read_nR
        assert self.gate is not None
        opened_nR: Tensor = self.gate(torch.cat((states_nC, embedded_nR), -1))
        return opened_nR.sigmoid() * embedded_nR

    def pack(self, dtype: torch.dtype) -> None:
        """Its unembedding packed for decoding on a CPU, in this type."""
        weight, outputs = packed(self.out.weight, dtype), self.out.out_features
        self._packed = functools.partial(linear, weight=weight, outputs=outputs)

    def forward(self, read_nR: Tensor) -> Tensor:
        """bias_nU."""
        if self._packed is not None:
            return self._packed(read_nR)
        bias_nU: Tensor = self.out(read_nR)
        return bias_nU
