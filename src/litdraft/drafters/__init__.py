"""The drafter families, by name: `litdraft.drafters.LSTM(target.spec, ...)`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from litdraft.drafters.cnn import CNN
    from litdraft.drafters.cnn_lm import CNNLM
    from litdraft.drafters.lookup import Lookup
    from litdraft.drafters.lstm import LSTM
    from litdraft.drafters.lstm_lm import LSTMLM
    from litdraft.drafters.matrix import Matrix
    from litdraft.drafters.mlp import MLP
    from litdraft.drafters.mtp import MTP
    from litdraft.drafters.ngram import NGram
    from litdraft.drafters.pretrained import Pretrained
    from litdraft.drafters.sentence import Sentence
    from litdraft.drafters.suffix import Suffix
    from litdraft.drafters.t5 import T5Drafter
    from litdraft.drafters.transformer import Transformer
    from litdraft.drafters.word_completion import WordCompletion

_HOMES = {
    "CNN": "cnn",
    "CNNLM": "cnn_lm",
    "LSTM": "lstm",
    "LSTMLM": "lstm_lm",
    "Lookup": "lookup",
    "MLP": "mlp",
    "MTP": "mtp",
    "Matrix": "matrix",
    "NGram": "ngram",
    "Pretrained": "pretrained",
    "Sentence": "sentence",
    "Suffix": "suffix",
    "T5Drafter": "t5",
    "Transformer": "transformer",
    "WordCompletion": "word_completion",
}
__all__ = [
    "CNN",
    "CNNLM",
    "LSTM",
    "LSTMLM",
    "MLP",
    "MTP",
    "Lookup",
    "Matrix",
    "NGram",
    "Pretrained",
    "Sentence",
    "Suffix",
    "T5Drafter",
    "Transformer",
    "WordCompletion",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'litdraft.drafters' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"litdraft.drafters.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
