"""Phrasing a sentence that the target has in mind: a light model reads the target's deep layers
where a sentence begins, and writes on to its end."""

from __future__ import annotations

from collections.abc import Sequence

from litdraft.drafters.parts.sentence_lstm import SentenceLSTM
from litdraft.drafters.parts.sentencewise import Sentencewise
from litdraft.errors import UserError
from litdraft.protocols import Needs, TargetSpec


class Sentence(Sentencewise):
    """An LSTM of `layers` of `width` whose memory begins with the residual streams behind some
    layers of the target, side by side, at the last token before the sentence; everything after it
    reads from tokens alone."""

    cumulative = True

    def __init__(
        self,
        spec: TargetSpec,
        taps: Sequence[int] | None = None,
        layers: int = 1,
        width: int = 256,
        vocabulary: int | str | None = None,
    ) -> None:
        """`taps`: 0 is the embeddings, and none at all an empty list; by default the layer three
        quarters up."""
        chosen = (3 * spec.layers // 4,) if taps is None else tuple(taps)
        if len(set(chosen)) < len(chosen) or min(chosen, default=0) < 0:
            raise UserError(
                f"drafter.taps={list(chosen)} was given: name layers once each, from 0 (the "
                f"embeddings) to {spec.layers}"
            )
        features = len(chosen) * spec.width
        super().__init__(spec, SentenceLSTM(spec, layers, width, vocabulary, features), width)
        self.needs = Needs(taps=chosen)
