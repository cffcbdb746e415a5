"""The native draft of a sentence model beside the one that is made step by step."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.fakes import random_target

from litdraft.drafters.parts.lstm_language_model import LSTMDraft
from litdraft.drafters.parts.sentence_draft import SentenceDraft
from litdraft.drafters.word_completion import WordCompletion
from litdraft.native.build import available
from litdraft.protocols import StopRule

K = 5


@pytest.mark.skipif(not available(), reason="the native operations do not build here")
@pytest.mark.parametrize("rows", [1, 17])
@pytest.mark.parametrize("shape", [{}, {"layers": 2, "width": 32}, {"vocabulary": 9}])
@torch.no_grad()
def test_the_native_draft_is_the_draft(shape: dict[str, Any], rows: int) -> None:
    """Tokens, where gates end them, and the memory behind every token; seventeen rows are two
    tiles, and a draft of one row ends where that is not sure."""
    target = random_target(dtype=torch.float32)
    drafter = WordCompletion(target.spec, **{"width": 16, **shape})
    for weight in drafter.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    drafter.bind(target)
    drafter.learn_vocabulary(torch.rand(24))
    native = SentenceDraft.of(drafter.body, drafter.confidence, torch.float32)
    assert native is not None
    size = 2 * shape.get("layers", 1) * shape.get("width", 16)
    ended = 0
    for threshold in (0.0, 0.05, 0.2, 0.9):
        for cumulative in (False, True):
            drafter.rule = StopRule(0.7, 0.3, threshold, cumulative) if threshold else None
            memory_BM, token_B = torch.randn(rows, size).tanh(), torch.randint(0, 24, (rows,))
            memory = LSTMDraft(memory_BM, [])
            tokens_BN, valid_BN, confidence_BN = drafter._stepped(memory, token_B, K)
            drafted = native(memory_BM, token_B, K, drafter.rule)
            assert torch.equal(drafted.tokens_BN, tokens_BN)
            assert torch.equal(drafted.valid_BN, valid_BN)
            assert (drafted.after_BPM - torch.stack(memory.behind, 1)).abs().max() < 1e-5
            assert (drafted.confidence_BN - confidence_BN).abs().max() < 1e-5
            ended += tokens_BN.shape[1] < K
    assert ended > 0 or rows > 1


def test_there_is_none_for_other_bodies_and_widths() -> None:
    spec = random_target().spec
    for shape in ({"width": 10}, {"body": "cnn", "width": 16}, {"body": "ngram"}):
        drafter = WordCompletion(spec, **shape)
        assert SentenceDraft.of(drafter.body, drafter.confidence, torch.float32) is None
