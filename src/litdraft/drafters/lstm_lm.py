"""A small LSTM language model that drafts."""

from __future__ import annotations

from litdraft.drafters.parts.lstm_language_model import LSTMLanguageModel


class LSTMLM(LSTMLanguageModel):
    """`layers` layers of `width` that read tokens alone, never the target's hidden states."""
