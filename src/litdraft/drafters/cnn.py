"""Causal convolutions over the target's hidden states and the tokens that are drafted."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.drafters.parts.head import Head
from litdraft.drafters.parts.stepwise import Unrolled
from litdraft.drafters.parts.unpack import Apart
from litdraft.networks.gated_cnn import GatedCNN, Window
from litdraft.protocols import Context, Observation, TargetSpec, TrainingBatch


@dataclass
class HiddenState:
    """The target's last hidden states, right-aligned, oldest first."""

    hidden_BwD: Tensor


@dataclass
class CNNDraft:
    """The window before the place to be read, and what h_t gives: to the first step's input, and
    to every step's output."""

    window: Window
    input_nC: Tensor
    output_nC: Tensor


class CNN(Unrolled):
    """At place s the stack reads W h_s + E x_{s+1}. Where a draft stands the target has not read,
    and a learned vector stands for W h_s. States are the stack's output, and a map of h_t.

    The last 1 + `layers` * (`kernel` - 1) places count.
    """

    def __init__(
        self,
        spec: TargetSpec,
        layers: int = 2,
        kernel: int = 3,
        width: int = 192,
        head: str = "target",
        vocabulary: int | str | None = None,
    ) -> None:
        super().__init__()
        self.stack = GatedCNN(width, layers, kernel)
        self.head = Head(spec, width, head, vocabulary)
        self.sizes = (width, self.head.inputs)
        self.opening = nn.Linear(spec.width, sum(self.sizes))
        self.read = nn.Linear(spec.width, width, bias=False)
        self.unknown_C = nn.Parameter(torch.zeros(width))
        self.out = nn.Linear(width, self.head.inputs, bias=False)

    def allocate(self, rows: int, capacity: int, k: int) -> HiddenState:  # type: ignore[override]
        width = self.opening.in_features
        return HiddenState(self.unknown_C.new_zeros(rows, self.stack.span, width))

    def observe(self, state: HiddenState, observation: Observation, context: Context) -> None:  # type: ignore[override]
        """The window moves on by what was kept."""
        span, (rows, _, width) = self.stack.span, observation.hidden_BPD.shape
        steps_w = torch.arange(span, device=observation.count_B.device)
        new_Bw = observation.count_B[:, None] + steps_w - span  # which of the seen stands there now
        index_BwD = new_Bw.clamp_min(0)[..., None].expand(rows, span, width)
        new_BwD = observation.hidden_BPD.gather(1, index_BwD).to(state.hidden_BwD.dtype)
        former_Bw = (observation.count_B[:, None] + steps_w).clamp_max(span - 1)
        former_BwD = state.hidden_BwD.gather(1, former_Bw[..., None].expand(rows, span, width))
        state.hidden_BwD.copy_(torch.where((new_Bw >= 0)[..., None], new_BwD, former_BwD))

    def begin(self, hidden_nD: Tensor) -> CNNDraft:
        input_nC, output_nC = self.opening(hidden_nD).split(self.sizes, -1)
        return CNNDraft(Window([]), input_nC, output_nC)

    def start(self, state: HiddenState, context: Context) -> CNNDraft:  # type: ignore[override]
        """The places before the last one that the target has read, computed again."""
        tokens_Bw, slots_Bw = context.before_BP(self.stack.span - 1)  # behind those places
        memory = self.begin(state.hidden_BwD[:, -1])
        inputs_BwC = self._inputs(state.hidden_BwD[:, :-1], tokens_Bw)
        memory.window = self.stack.window_after(inputs_BwC, slots_Bw > 0)
        return memory

    def starts(self, batch: TrainingBatch, row_n: Tensor, start_n: Tensor) -> CNNDraft:
        assert batch.hidden_BSD is not None
        hidden_BSD = batch.hidden_BSD.to(self.unknown_C.dtype)
        inputs_BSC = self._inputs(hidden_BSD, batch.tokens_BT[:, 1:])
        memory = self.begin(hidden_BSD[row_n, start_n])
        if batch.start_BS is not None:
            apart = Apart.of(batch.start_BS)
            inputs_BSC = apart.spread(inputs_BSC)
            row_n, start_n = apart.text_S[row_n, start_n], apart.place_S[row_n, start_n]
        _, padded = self.stack(inputs_BSC)
        memory.window = self.stack.window_at(padded, row_n, start_n)
        return memory

    def step(self, memory: CNNDraft, token_n: Tensor, j: int) -> Tensor:
        read_nC = self.read(self.embedded(token_n, self.unknown_C))
        inputs_nC = read_nC + (memory.input_nC if j == 0 else self.unknown_C)
        states_nC: Tensor = self.out(self.stack.step(memory.window, inputs_nC)) + memory.output_nC
        return states_nC

    def _inputs(self, hidden_BwD: Tensor, tokens_Bw: Tensor) -> Tensor:
        width, _ = self.sizes
        weight_CD, bias_C = self.opening.weight[:width], self.opening.bias[:width]
        projected_BwC = F.linear(hidden_BwD, weight_CD, bias_C)
        read_BwC: Tensor = self.read(self.embedded(tokens_Bw, self.unknown_C))
        return projected_BwC + read_BwC
