"""An LSTM on the target's last hidden state, which reads the tokens it drafts.

The idea of Hydra (arXiv 2402.05109) and of ReDrafter (arXiv 2403.09919), a recurrent head, with the
gates of Hochreiter and Schmidhuber (1997).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from litdraft.drafters.parts.encoder_source import Remembered, SourceReader
from litdraft.drafters.parts.head import Head
from litdraft.drafters.parts.stepwise import HiddenState, Unrolled
from litdraft.errors import UserError
from litdraft.native.build import OUT, packed
from litdraft.protocols import Context, Observation, Proposal, TargetSpec, TrainingBatch
from litdraft.sampling import Sampling


@dataclass
class LSTMDraft:
    """A draft under way: what the start gives to every step, and each layer's memory."""

    gates_nG: Tensor
    output_nC: Tensor
    short_LnW: list[Tensor]
    long_LnW: list[Tensor]


@dataclass
class LSTMState(HiddenState):
    """And what the head remembers of a source, if it looks at that."""

    source: Remembered | None = None


class LSTM(Unrolled):
    """`layers` layers of `width`; the head is the target's frozen unembedding, or one's own.

    The memory starts as a function of the target's hidden state h_t, which also enters every step's
    gates; step j reads the embedding of the j-th token behind x_t and predicts the next. With
    `source`, pooled or attention, a vector of an encoder-decoder's source stands beside h_t.
    """

    def __init__(
        self,
        spec: TargetSpec,
        layers: int = 1,
        width: int = 128,
        head: str = "target",
        vocabulary: int | str | None = None,
        source: str | None = None,
    ) -> None:
        super().__init__()
        if layers < 1 or width < 1:
            raise UserError(
                f"drafter=lstm was given layers={layers}, width={width}: both must be at least 1"
            )
        self.layers, self.width = layers, width
        self._native: NativeDraft | None = None
        self.head = Head(spec, width, head, vocabulary)
        # All that the start gives, one product a round: gates, output, and each layer's memory.
        output = self.head.inputs
        self.begun = (4 * width, output, *[width] * (2 * layers))
        if source is not None and spec.encoder_decoder is None:
            raise UserError(
                f"drafter.source={source} was given, but {spec.name} has no encoder that reads a "
                "source: leave it out, or choose target=seq2seq"
            )
        self.source = None if source is None else SourceReader(spec.width, source, width)
        read = spec.width if source is None else 2 * spec.width
        self.opening = nn.Linear(read, sum(self.begun))
        # Input and recurrent weights of a layer are one matrix: one product a step. The first
        # layer's bias is in `opening`.
        inputs = [spec.width] + [width] * (layers - 1)
        gates = [
            nn.Linear(size + width, 4 * width, bias=layer > 0) for layer, size in enumerate(inputs)
        ]
        self.gates = nn.ModuleList(gates)
        for bias in (self.opening.bias, *(gate.bias for gate in gates[1:])):
            nn.init.ones_(bias[width : 2 * width])  # remember at first (Jozefowicz et al., 2015)
        self.out = nn.Linear(width, output, bias=False)

    def prepare_for_decoding(self, dtype: torch.dtype, native: bool) -> None:
        packed_target = self.target.packed if native else None
        if packed_target is not None and self.width % OUT == 0 and self.source is None:
            self._native = NativeDraft(self, *packed_target, dtype)
        else:
            super().prepare_for_decoding(dtype, native)

    def allocate(self, rows: int, capacity: int, k: int) -> LSTMState:
        return LSTMState(super().allocate(rows, capacity, k).hidden_BD)

    def observe(self, state: Any, observation: Observation, context: Context) -> None:
        super().observe(state, observation, context)
        if self.source is not None and state.source is None:
            hidden_BPD = observation.hidden_BPD.to(self.opening.weight.dtype)
            state.source = self.source.remember(hidden_BPD, context.prompt_B)

    def start(self, state: Any, context: Context) -> LSTMDraft:
        if self.source is None:
            return self.begin(state.hidden_BD)
        source_BD = self.source(state.hidden_BD[:, None], state.source)[:, 0]
        return self.begin(torch.cat((state.hidden_BD, source_BD), -1))

    def starts(self, batch: TrainingBatch, row_n: Tensor, start_n: Tensor) -> LSTMDraft:
        if self.source is None:
            memory: LSTMDraft = super().starts(batch, row_n, start_n)
            return memory
        assert batch.hidden_BSD is not None
        assert batch.prompt_B is not None
        hidden_BSD = batch.hidden_BSD.to(self.opening.weight.dtype)
        source_BSD = self.source(hidden_BSD, self.source.remember(hidden_BSD, batch.prompt_B))
        return self.begin(torch.cat((hidden_BSD, source_BSD), -1)[row_n, start_n])

    def propose(
        self, state: HiddenState, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        temperature = sampling.only_temperature
        if self._native is None or temperature is None:
            return super().propose(state, context, k, sampling, uniforms_BK)
        token_B = context.unread_B1()[:, 0]
        return self._native(state.hidden_BD, token_B, temperature, uniforms_BK)

    def begin(self, hidden_nD: Tensor) -> LSTMDraft:
        gates_nG, output_nC, *rest = self.opening(hidden_nD).split(self.begun, -1)
        memory = [part.tanh() for part in rest]
        return LSTMDraft(gates_nG, output_nC, memory[: self.layers], memory[self.layers :])

    def step(self, memory: LSTMDraft, token_n: Tensor, j: int) -> Tensor:
        """Read one token; states_nC that predict the next."""
        below = self.embedded(token_n, self.opening.bias)
        for layer, gate in enumerate(self.gates):
            gates_nG = gate(torch.cat((below, memory.short_LnW[layer]), -1))
            if layer == 0:
                gates_nG = gates_nG + memory.gates_nG
            opened_nG, new_nW = gates_nG.split((3 * self.width, self.width), -1)
            enter, keep, show = opened_nG.sigmoid().chunk(3, -1)
            long_nW = torch.addcmul(keep * memory.long_LnW[layer], enter, new_nW.tanh())
            below = show * long_nW.tanh()
            memory.long_LnW[layer], memory.short_LnW[layer] = long_nW, below
        states_nC: Tensor = self.out(below) + memory.output_nC
        return states_nC


class NativeDraft:
    """A whole draft as one native operation (`native/lstm.cpp`), weights packed once."""

    def __init__(
        self, drafter: LSTM, embedding: Tensor, unembedding: Tensor, dtype: torch.dtype
    ) -> None:
        ids_U, head = drafter.vocabulary_U, drafter.head
        own: Any = head.own[0].weight if head.kind == "own" else None
        if own is None and ids_U is not None:
            own = torch.ops.litdraft.embed.default(unembedding, head.inputs, ids_U)
        width = drafter.width
        # Four blocks in a row are the four gates of the same units.
        layers: list[Any] = list(drafter.gates)
        gates = [g.weight.view(4, width // OUT, OUT, -1).transpose(0, 1) for g in layers]
        self.weights = (
            embedding,
            drafter.scale,
            packed(drafter.opening.weight, dtype),
            drafter.opening.bias.float(),
            [packed(gate.flatten(0, 2), dtype) for gate in gates],
            [drafter.opening.bias.float(), *(gate.bias.float() for gate in layers[1:])],
            packed(drafter.out.weight, dtype),
            head.inputs,
            unembedding if own is None else packed(own, dtype),
            head.outputs,
            drafter.opening.bias.new_empty(0).long() if ids_U is None else ids_U,
        )
        self.vocabulary_U = ids_U

    def __call__(
        self, hidden_BD: Tensor, token_B: Tensor, temperature: float, uniforms_BK: Tensor
    ) -> Proposal:
        tokens_BN, probs_BNU = torch.ops.litdraft.lstm_draft.default(
            hidden_BD, token_B, *self.weights, temperature, uniforms_BK.double()
        )
        probs = None if temperature == 0 else probs_BNU
        return Proposal(tokens_BN, probs, vocabulary_U=self.vocabulary_U)
