"""One drafter of every family in front of an encoder-decoder."""

from __future__ import annotations

from typing import Any

import torch
from tests.fakes import (
    cnn,
    cnn_lm,
    lookup,
    lstm,
    lstm_lm,
    matrix,
    mlp,
    own_mtp,
    random,
    sentence,
    suffix,
    word_lstm,
)

from litdraft.decoding.autoregress import Autoregress
from litdraft.drafters.lstm import LSTM
from litdraft.drafters.ngram import NGram
from litdraft.drafters.t5 import T5Drafter
from litdraft.drafters.transformer import Transformer
from litdraft.protocols import Drafter
from litdraft.sampling import Sampling
from litdraft.targets.frozen import Frozen


def pooled_lstm(target: Frozen) -> Drafter:
    return random(LSTM(target.spec, width=12, source="pooled"))


def attending_lstm(target: Frozen) -> Drafter:
    return random(LSTM(target.spec, width=12, source="attention"))


def ngram(target: Frozen) -> Drafter:
    """Counted on the target's own text."""
    drafter = NGram(target.spec, order=3, continuations=4)
    prompts = [[1, token, 0] for token in range(2, target.spec.vocabulary)]
    told = Autoregress(target, Sampling(1.0)).generate(prompts, 40).tokens
    drafter.count(torch.tensor(text) for text in told)
    return drafter.double()


def transformer(target: Frozen) -> Drafter:
    """It reads the source as if it were text before the start token."""
    sizes: dict[str, Any] = {
        "width": 16,
        "heads": 2,
        "kv_heads": 2,
        "head_width": 8,
        "inner": 16,
        "context": 128,
    }
    drafter = Transformer(target.spec, **sizes, vocabulary=target.spec.vocabulary).double()
    drafter.model.reset_buffers()
    return drafter


def t5(target: Frozen) -> Drafter:
    sizes: dict[str, Any] = {"width": 16, "heads": 2, "head_width": 8, "inner": 16, "limit": 64}
    return random(T5Drafter(target.spec, encoder_layers=1, layers=1, **sizes))


LEARN = [
    lstm,
    pooled_lstm,
    attending_lstm,
    own_mtp,
    matrix,
    mlp,
    cnn,
    cnn_lm,
    lstm_lm,
    transformer,
    t5,
]
FAMILIES = [*LEARN, ngram, suffix, lookup, word_lstm, sentence]
