"""An LSTM language model (Hochreiter and Schmidhuber, 1997) that reads tokens alone."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence

from litdraft.drafters.parts.language_model import LanguageModel
from litdraft.errors import UserError
from litdraft.protocols import Context, Observation, Proposal, TargetSpec
from litdraft.sampling import Sampling


@dataclass
class LSTMState:
    """The memory before each row's unread token, all layers side by side, and what it was behind
    that token and behind each draft of the last proposal."""

    memory_BM: Tensor
    behind_BPM: Tensor
    prompted: bool = False


@dataclass
class LSTMDraft:
    """A memory that moves on, and where it has been."""

    memory_nM: Tensor
    behind: list[Tensor]


class LSTMLanguageModel(LanguageModel):
    """`layers` (1 to 4) of `width`; embedding and unembedding are one matrix."""

    def __init__(
        self,
        spec: TargetSpec,
        layers: int = 1,
        width: int = 256,
        vocabulary: int | str | None = None,
    ) -> None:
        if not 1 <= layers <= 4:
            raise UserError(f"drafter=lstm_lm was given layers={layers}: it is 1 to 4")
        super().__init__(spec, width, vocabulary)
        self.layers, self.width = layers, width
        self.network = nn.LSTM(width, width, layers, batch_first=True)

    def allocate(self, rows: int, capacity: int, k: int) -> LSTMState:
        like, size = self.embedding.weight, 2 * self.layers * self.width
        return LSTMState(like.new_zeros(rows, size), like.new_zeros(rows, k + 1, size))

    def observe(self, state: LSTMState, observation: Observation, context: Context) -> None:
        """Read the prompt; behind a round pick the memory behind what was kept."""
        if not state.prompted:
            state.prompted = True
            state.memory_BM.copy_(self.prompt(state, observation, context).detach())
            return
        last_B11 = (observation.count_B - 1).clamp_min(0)[:, None, None]
        index_B1M = last_B11.expand(-1, 1, state.memory_BM.shape[1])
        picked_BM = state.behind_BPM.gather(1, index_B1M)[:, 0]
        read_B1 = (observation.count_B > 0)[:, None]
        torch.where(read_B1, picked_BM, state.memory_BM, out=state.memory_BM)

    def prompt(self, state: LSTMState, observation: Observation, context: Context) -> Tensor:
        """memory_BM behind the prompts."""
        return self.read(observation.tokens_BP, observation.count_B)

    def read(self, tokens_BP: Tensor, count_B: Tensor, memory_BM: Tensor | None = None) -> Tensor:
        """memory_BM behind the first count_B tokens, from another or from nothing."""
        embedded_BPC, lengths_B = self.embedding(tokens_BP), count_B.cpu()
        packed = pack_padded_sequence(embedded_BPC, lengths_B, True, enforce_sorted=False)
        begun = None if memory_BM is None else self.parts(memory_BM)
        short_LBW, long_LBW = self.network(packed, begun)[1]
        return torch.cat((*short_LBW, *long_LBW), -1)

    def parts(self, memory_nM: Tensor) -> tuple[Tensor, Tensor]:
        """short_LnW and long_LnW, as the network takes them."""
        parts = torch.stack(memory_nM.split(self.width, -1))
        return parts[: self.layers], parts[self.layers :]

    def propose(
        self, state: LSTMState, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        memory = self.start(state, context)
        proposal = self.drafted(memory, context, k, sampling, uniforms_BK)
        self.step(memory, proposal.tokens_BN[:, -1], k)
        self.remember(state, memory)
        return proposal

    def remember(self, state: LSTMState, memory: LSTMDraft) -> None:
        """Where a proposal has been. Its last draft is read as well: where all are accepted, that
        is behind the next start."""
        state.behind_BPM[:, : len(memory.behind)] = torch.stack(memory.behind, 1).detach()

    def start(self, state: LSTMState, context: Context) -> LSTMDraft:
        return LSTMDraft(state.memory_BM, [])

    def step(self, memory: LSTMDraft, token_n: Tensor, j: int) -> Tensor:
        parts = memory.memory_nM.split(self.width, -1)
        below: Tensor = self.embedding(token_n)
        short, long = [], []
        for layer, weights in enumerate(self.network.all_weights):
            before = (parts[layer], parts[self.layers + layer])
            below, cell = torch.lstm_cell(below, before, *weights)
            short.append(below)
            long.append(cell)
        memory.memory_nM = torch.cat((*short, *long), -1)
        memory.behind.append(memory.memory_nM)
        return below

    def over(self, read_nTC: Tensor) -> Tensor:
        states_nTC: Tensor = self.network(read_nTC)[0]
        return states_nTC
