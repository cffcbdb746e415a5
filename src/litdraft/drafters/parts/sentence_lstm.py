"""An LSTM that begins anew with every sentence: from nothing, or from what a target knew then."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from litdraft.device_sync import known_empty
from litdraft.drafters.parts.lstm_language_model import LSTMDraft, LSTMLanguageModel, LSTMState
from litdraft.drafters.parts.sentence_context import Within
from litdraft.drafters.parts.unpack import Apart
from litdraft.protocols import Context, Observation, TargetSpec, TrainingBatch


@dataclass(kw_only=True)
class TappedState(LSTMState):
    """And what was tapped of the target at the last two tokens it has read, the latest behind."""

    taps_B2F: Tensor


class SentenceLSTM(LSTMLanguageModel):
    """A language model over the tokens of the current sentence, with a memory that begins as a
    projection of F `features`: what was tapped at the last token before the sentence. F = 0 for
    none; before a text's beginning they are zeros."""

    look = 2  # may be a sentence's first

    def __init__(
        self,
        spec: TargetSpec,
        layers: int = 1,
        width: int = 256,
        vocabulary: int | str | None = None,
        features: int = 0,
    ) -> None:
        super().__init__(spec, layers, width, vocabulary)
        self.features = features
        self.first = nn.Linear(features, 2 * layers * width) if features else None

    def begun(self, taps_nF: Tensor) -> Tensor:
        """memory_nM before a sentence's first token."""
        weight_VC = self.embedding.weight
        if self.first is None:
            return weight_VC.new_zeros(len(taps_nF), 2 * self.layers * self.width)
        taps_nF = F.rms_norm(taps_nF.to(weight_VC.dtype), taps_nF.shape[-1:])
        return torch.tanh(self.first(taps_nF))

    def allocate(self, rows: int, capacity: int, k: int) -> TappedState:
        taps_B2F = self.embedding.weight.new_zeros(rows, 2, self.features)
        return TappedState(**vars(super().allocate(rows, capacity, k)), taps_B2F=taps_B2F)

    def observe(self, state: LSTMState, observation: Observation, context: Context) -> None:
        super().observe(state, observation, context)
        assert isinstance(state, TappedState)
        last_B2 = observation.count_B[:, None] + torch.arange(2, device=observation.count_B.device)
        state.taps_B2F = self._tapped(state, observation, last_B2)

    def prompt(self, state: LSTMState, observation: Observation, context: Context) -> Tensor:
        """memory_BM behind the prompts' last sentences, which the context shows alone."""
        assert isinstance(state, TappedState)
        assert isinstance(context, Within)
        begin_B1 = context.begin_B[:, None]
        slots_BP = begin_B1 + torch.arange(observation.tokens_BP.shape[1], device=begin_B1.device)
        tokens_BP = observation.tokens_BP.gather(
            1, slots_BP.clamp_max(observation.tokens_BP.shape[1] - 1)
        )
        before_BF = self._tapped(state, observation, begin_B1 + 1)[:, 0]
        return self.read(tokens_BP, observation.count_B - context.begin_B, self.begun(before_BF))

    def _tapped(self, state: TappedState, observation: Observation, places_Bn: Tensor) -> Tensor:
        """taps_BnF, counted from the older one of the two that the state holds."""
        if not self.features:
            return state.taps_B2F
        assert observation.taps_BPC is not None
        all_BPF = torch.cat((state.taps_B2F, observation.taps_BPC.to(state.taps_B2F.dtype)), 1)
        return all_BPF.gather(1, places_Bn[..., None].expand(-1, -1, self.features))

    def start(self, state: LSTMState, context: Context) -> LSTMDraft:
        """A sentence that begins at the unread token has no memory yet; one that begins at the
        token before, whose draft was still made in the sentence before, has read that alone."""
        assert isinstance(state, TappedState)
        assert isinstance(context, Within)
        older_BF, latest_BF = state.taps_B2F.unbind(1)
        memory_BM = state.memory_BM
        read_B1 = (context.length_B - context.begin_B)[:, None]  # tokens of the sentence
        if not known_empty(read_B1 == 2):
            once = LSTMDraft(self.begun(older_BF), [])
            self.step(once, context.last_BP(2)[:, 0], 0)
            memory_BM = torch.where(read_B1 == 2, once.memory_nM, memory_BM)
        if not known_empty(read_B1 == 1):
            memory_BM = torch.where(read_B1 == 1, self.begun(latest_BF), memory_BM)
        return LSTMDraft(memory_BM, [])

    def states(self, batch: TrainingBatch) -> Tensor:
        """states_BS1C. start_BS of the lesson says where sentences begin, and taps_BSC what was
        tapped before the sentence that each place stands in."""
        assert batch.start_BS is not None
        apart = Apart.of(batch.start_BS)
        read_nTC = apart.spread(self.embedding(batch.tokens_BT[:, :-1]))
        taps_nF = read_nTC.new_zeros(len(read_nTC), self.features)
        if batch.taps_BSC is not None and self.features:
            first_BS = apart.place_S == 0
            taps_nF[apart.text_S[first_BS]] = batch.taps_BSC[first_BS].to(taps_nF.dtype)
        length_n = torch.bincount(apart.text_S.flatten()).cpu()
        packed = pack_padded_sequence(read_nTC, length_n, True, enforce_sorted=False)
        read = self.network(packed, self.parts(self.begun(taps_nF)))[0]
        states_nTC = pad_packed_sequence(read, batch_first=True)[0]  # most are much shorter than T
        return apart.gather(states_nTC)[:, :, None]
