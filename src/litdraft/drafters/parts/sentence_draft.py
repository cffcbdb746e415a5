"""A sentence model's draft as one native operation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.drafters.parts.confidence import Confidence
from litdraft.drafters.parts.sentence_lstm import SentenceLSTM
from litdraft.native.build import OUT, packed
from litdraft.protocols import StopRule

OPEN = StopRule()  # lets everything pass


class Drafted(NamedTuple):
    """Up to k drafts, which of them pass the stop rule, the memory after each token read, and the
    probability that each draft is the target's if those before it are."""

    tokens_BN: Tensor
    valid_BN: Tensor
    after_BPM: Tensor
    confidence_BN: Tensor


class SentenceDraft:
    """`native/sentence.cpp`: the likeliest tokens, and where the stop rule ends them. Weights are
    packed once; the same as step by step up to rounding."""

    def __init__(self, body: SentenceLSTM, confidence: Confidence, dtype: torch.dtype) -> None:
        ids_U, width = body.vocabulary_U, body.width
        embedding_VC = body.embedding.weight
        head_UC = embedding_VC if ids_U is None else embedding_VC[ids_U]
        table = packed(embedding_VC, dtype)
        layers = [_gates(layer, width) for layer in body.network.all_weights]
        self.weights = (
            table,
            [packed(weight, dtype) for weight, _ in layers],
            [bias.float() for _, bias in layers],
            table if ids_U is None else packed(head_UC, dtype),
            len(head_UC),
            embedding_VC.new_empty(0).long() if ids_U is None else ids_U,
            confidence.weight_C.detach().float(),
            confidence.odds.item(),
            confidence.shift.item(),
        )

    @classmethod
    def of(cls, body: object, confidence: Confidence, dtype: torch.dtype) -> SentenceDraft | None:
        """None where there is no such operation for this body."""
        if isinstance(body, SentenceLSTM) and body.width % OUT == 0:
            return cls(body, confidence, dtype)
        return None

    def __call__(
        self, memory_BM: Tensor, token_B: Tensor, k: int, rule: StopRule | None
    ) -> Drafted:
        """It stops behind the first draft of which no row is sure."""
        scale, shift, threshold, cumulative = rule or OPEN
        drafted = torch.ops.litdraft.sentence_draft.default(
            memory_BM.float(), token_B, *self.weights, scale, shift, threshold, cumulative, k
        )
        return Drafted(*drafted)


def _gates(layer: Sequence[Tensor], width: int) -> tuple[Tensor, Tensor]:
    """Weights and bias of a layer of torch's (enter, keep, new, show), inputs and memory side by
    side, in the order of `native/lstm.h`: four blocks in a row are the gates of the same units."""
    order = [0, 1, 3, 2]
    weight = torch.cat((layer[0], layer[1]), 1).view(4, width // OUT, OUT, -1)[order]
    bias = (layer[2] + layer[3]).view(4, width)[order]
    return weight.transpose(0, 1).flatten(0, 2), bias.flatten()
