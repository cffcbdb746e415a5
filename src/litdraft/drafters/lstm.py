"""An LSTM on the target's last hidden state, which reads the tokens it drafts.

The idea of Hydra (arXiv 2402.05109) and of ReDrafter (arXiv 2403.09919), a recurrent head, with the
gates of Hochreiter and Schmidhuber (1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.drafters.head import Head
from litdraft.errors import UserError
from litdraft.native.build import OUT, loaded, packed
from litdraft.protocols import (
    Context,
    Drafter,
    Lesson,
    Needs,
    Proposal,
    Seen,
    Target,
    TargetSpec,
    Warp,
)


@dataclass
class State:
    """The target's hidden state at the last token it has read: where a draft starts."""

    hidden_BD: Tensor


@dataclass
class Unrolled:
    """A draft under way: what the start gives to every step, and each layer's memory."""

    gates_nG: Tensor
    output_nC: Tensor
    short_LnW: list[Tensor]
    long_LnW: list[Tensor]


class LSTM(Drafter):
    """`layers` layers of `width`; the head is the target's frozen unembedding, or one's own.

    The memory starts as a function of the target's hidden state h_t, which also enters every step's
    gates; step j reads the embedding of the j-th token behind x_t and predicts the next.
    """

    needs = Needs(hidden=True)

    def __init__(
        self,
        spec: TargetSpec,
        layers: int = 1,
        width: int = 128,
        head: str = "target",
        vocabulary: int | str | None = None,
    ) -> None:
        super().__init__()
        if layers < 1 or width < 1:
            raise UserError(
                f"drafter=lstm was given layers={layers}, width={width}: both must be at least 1"
            )
        self.layers, self.width = layers, width
        self.head = Head(spec, width, head, vocabulary)
        # All that the start gives, one product a round: gates, output, and each layer's memory.
        output = self.head.inputs
        self.begun = (4 * width, output, *[width] * (2 * layers))
        self.begin = nn.Linear(spec.width, sum(self.begun))
        # Input and recurrent weights of a layer are one matrix: one product a step. The first
        # layer's bias is in `begin`.
        inputs = [spec.width] + [width] * (layers - 1)
        gates = [
            nn.Linear(size + width, 4 * width, bias=layer > 0) for layer, size in enumerate(inputs)
        ]
        self.gates = nn.ModuleList(gates)
        for bias in (self.begin.bias, *(gate.bias for gate in gates[1:])):
            nn.init.ones_(bias[width : 2 * width])  # remember at first (Jozefowicz et al., 2015)
        self.out = nn.Linear(width, output, bias=False)

    @property
    def vocabulary_U(self) -> Tensor | None:
        return self.head.vocabulary_U

    def learn_vocabulary(self, counts_V: Tensor) -> None:
        self.head.learn(counts_V)
        self.head.bind(self.__dict__["target"])

    def bind(self, target: Target) -> None:
        """Embeddings are read at a scale of one, whatever the target's."""
        super().bind(target)
        self.head.bind(target)
        some = torch.arange(min(target.spec.vocabulary, 4096), device=target.device)
        size = target.embed(some).float().square().mean().sqrt()
        self.__dict__["scale"] = 1.0 / max(float(size), 1e-8)

    def fuse(self, dtype: torch.dtype) -> None:
        target: Target = self.__dict__["target"]
        if target.packed is not None and self.width % OUT == 0:
            self.__dict__["fused"] = Fused(self, *target.packed, dtype)

    def allocate(self, rows: int, room: int, k: int) -> State:
        return State(self.begin.bias.new_zeros(rows, self.begin.in_features))

    def observe(self, state: State, seen: Seen, context: Context) -> None:
        floats = seen.hidden_BPD.dtype == state.hidden_BD.dtype == torch.float32
        if floats and loaded(seen.hidden_BPD):  # one call instead of eight, the same to the bit
            torch.ops.litdraft.last_hidden.default(
                seen.hidden_BPD.contiguous(), seen.count_B, state.hidden_BD
            )
            return
        read_B1 = (seen.count_B > 0)[:, None]
        last_BD = seen.last_hidden_BD().to(state.hidden_BD.dtype)
        torch.where(read_B1, last_BD, state.hidden_BD, out=state.hidden_BD)

    def propose(
        self, state: State, context: Context, k: int, warp: Warp, uniforms_BK: Tensor
    ) -> Proposal:
        token_B = context.unread_B1()[:, 0]
        fused = self.__dict__.get("fused")
        if fused is not None and warp.only_temperature is not None:
            told: Proposal = fused(state.hidden_BD, token_B, warp.only_temperature, uniforms_BK)
            return told
        unrolled = self._begin(state.hidden_BD)
        tokens, probs = [], []
        for j in range(k):
            states_BC = self._step(unrolled, token_B)
            token_B, probs_BU = self.head.choose(states_BC, warp, uniforms_BK[:, j])
            tokens.append(token_B)
            probs.append(probs_BU)
        return self.head.proposal(tokens, probs)

    def states(self, lesson: Lesson) -> Tensor:
        """states_BSKC, unrolled from every start that a trained place follows within k steps: where
        prompts are long and answers short, that is a small part of the text."""
        assert lesson.hidden_BSD is not None
        hidden_BSD, tokens_BT = lesson.hidden_BSD.to(self.begin.bias.dtype), lesson.tokens_BT
        rows, places = hidden_BSD.shape[:2]
        row_n, start_n = starts_before(lesson.trained_BS, lesson.k).nonzero().unbind(1)
        unrolled = self._begin(hidden_BSD[row_n, start_n])
        place_nK = start_n[:, None] + torch.arange(1, lesson.k + 1, device=start_n.device)
        token_nK = tokens_BT[row_n[:, None], place_nK.clamp_max(places)]
        states_nKC = torch.stack(
            [self._step(unrolled, token_n) for token_n in token_nK.unbind(1)], 1
        )
        # Steps beyond the text's end land in places that are cut off again.
        columns_K = torch.arange(lesson.k, device=start_n.device)
        states_BSKC = states_nKC.new_zeros(rows, places + lesson.k, *states_nKC.shape[1:])
        states_BSKC = states_BSKC.index_put((row_n[:, None], place_nK, columns_K), states_nKC)
        return states_BSKC[:, :places]

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        """logits_nU, the same head for every draft position."""
        logits_nU: Tensor = self.head(states_nC)
        return logits_nU

    def _begin(self, hidden_nD: Tensor) -> Unrolled:
        gates_nG, output_nC, *memory = self.begin(hidden_nD).split(self.begun, -1)
        memory = [part.tanh() for part in memory]
        return Unrolled(gates_nG, output_nC, memory[: self.layers], memory[self.layers :])

    def _step(self, unrolled: Unrolled, token_n: Tensor) -> Tensor:
        """Read one token; states_nC that predict the next."""
        embedded_nD = self.__dict__["target"].embed(token_n)
        below = embedded_nD.to(self.begin.bias.dtype) * self.__dict__["scale"]
        for layer, gate in enumerate(self.gates):
            gates_nG = gate(torch.cat((below, unrolled.short_LnW[layer]), -1))
            if layer == 0:
                gates_nG = gates_nG + unrolled.gates_nG
            opened_nG, new_nW = gates_nG.split((3 * self.width, self.width), -1)
            enter, keep, show = opened_nG.sigmoid().chunk(3, -1)
            long_nW = torch.addcmul(keep * unrolled.long_LnW[layer], enter, new_nW.tanh())
            below = show * long_nW.tanh()
            unrolled.long_LnW[layer], unrolled.short_LnW[layer] = long_nW, below
        states_nC: Tensor = self.out(below) + unrolled.output_nC
        return states_nC


def starts_before(trained_BS: Tensor, k: int) -> Tensor:
    """started_BS: whether a trained place stands one to k places behind."""
    behind_BS = F.pad(trained_BS[:, 1:], (0, k))
    return behind_BS.unfold(1, k, 1).any(-1)[:, : trained_BS.shape[1]]


class Fused:
    """A whole draft as one native operation (`native/lstm.cpp`), weights packed once."""

    def __init__(
        self, drafter: LSTM, embedding: Tensor, unembedding: Tensor, dtype: torch.dtype
    ) -> None:
        ids_U, head = drafter.vocabulary_U, drafter.head
        own = head.own.weight if head.kind == "own" else None
        if own is None and ids_U is not None:
            own = torch.ops.litdraft.embed.default(unembedding, head.inputs, ids_U)
        width = drafter.width
        # Four blocks in a row are the four gates of the same units.
        layers: list[Any] = list(drafter.gates)
        gates = [g.weight.view(4, width // OUT, OUT, -1).transpose(0, 1) for g in layers]
        self.weights = (
            embedding,
            drafter.__dict__["scale"],
            packed(drafter.begin.weight, dtype),
            drafter.begin.bias.float(),
            [packed(gate.flatten(0, 2), dtype) for gate in gates],
            [drafter.begin.bias.float(), *(gate.bias.float() for gate in layers[1:])],
            packed(drafter.out.weight, dtype),
            head.inputs,
            unembedding if own is None else packed(own, dtype),
            head.outputs,
            drafter.begin.bias.new_empty(0).long() if ids_U is None else ids_U,
        )
        self.vocabulary_U = ids_U

    def __call__(
        self, hidden_BD: Tensor, token_B: Tensor, temperature: float, uniforms_BK: Tensor
    ) -> Proposal:
        tokens_BK, probs_BKU = torch.ops.litdraft.lstm_draft.default(
            hidden_BD, token_B, *self.weights, temperature, uniforms_BK.double()
        )
        probs = None if temperature == 0 else probs_BKU
        return Proposal(tokens_BK, probs, vocabulary_U=self.vocabulary_U)
