"""A tiny model of the current sentence that says which token is all but certain, and how surely.

Its task is what a large target need not be asked for: the rest of words, punctuation, newlines.
Drafts of it can be verified as all others are (`decoding=gated`), or written without
(`decoding=word_completion`, lossy).
"""

from __future__ import annotations

from litdraft.drafters.cnn_lm import CNNLM
from litdraft.drafters.ngram import NGram
from litdraft.drafters.parts.sentence_lstm import SentenceLSTM
from litdraft.drafters.parts.sentencewise import Sentencewise
from litdraft.drafters.parts.stepwise import Stepwise
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec

BODIES = ("lstm", "cnn", "ngram")


class WordCompletion(Sentencewise):
    """`body` lstm or cnn, with `layers` of `width`, learns by distillation; ngram, of `order`,
    counts."""

    def __init__(
        self,
        spec: TargetSpec,
        body: str = "lstm",
        layers: int = 1,
        width: int = 192,
        order: int = 4,
        vocabulary: int | str | None = None,
    ) -> None:
        """UserError if there is no such body, or if it cannot be of these sizes."""
        made: Stepwise
        if body == "lstm":
            made = SentenceLSTM(spec, layers, width, vocabulary)
        elif body == "cnn":
            made = CNNLM(spec, layers, width=width, vocabulary=vocabulary)
        elif body == "ngram":
            made, width = NGram(spec, order), 0
        else:
            raise UserError(f"drafter.body={body} was given: choose one of {', '.join(BODIES)}")
        super().__init__(spec, made, width)
