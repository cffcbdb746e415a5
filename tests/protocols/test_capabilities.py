"""What each family can do is said by its class, and checked by isinstance."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests import fakes
from tests.drafters import seq2seq
from tests.fakes import random_t5, random_target

from litdraft.errors import UserError
from litdraft.protocols import (
    Confident,
    Counted,
    Drafter,
    LimitedLength,
    Observation,
    ReadsSource,
    Replayable,
    StopRule,
    Tokenized,
    Trainable,
    check_length,
    counts,
    layout_of,
    longest_draft,
)
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.targets.seq2seq import Seq2SeqTarget

CAPABILITIES = {
    "trainable": Trainable,
    "counted": Counted,
    "confident": Confident,
    "tokenized": Tokenized,
    "replayable": Replayable,
    "limited": LimitedLength,
    "reads_source": ReadsSource,
}
NETWORK = {"trainable", "replayable"}
SENTENCE = NETWORK | {"counted", "confident", "tokenized"}
TABLE: list[tuple[Callable[[LlamaTarget], Drafter], set[str]]] = [
    (fakes.lstm, NETWORK),
    (fakes.cnn, NETWORK),
    (fakes.cnn_lm, NETWORK),
    (fakes.lstm_lm, NETWORK),
    (fakes.mlp, NETWORK | {"limited"}),
    (fakes.matrix, NETWORK | {"limited"}),
    (fakes.mtp, NETWORK | {"limited"}),
    (fakes.transformer, NETWORK | {"reads_source"}),
    (fakes.ngram, NETWORK | {"counted"}),
    (fakes.word_lstm, SENTENCE),
    (fakes.sentence, SENTENCE),
    (fakes.lookup, {"replayable"}),
    (fakes.suffix, {"replayable"}),
]


@pytest.mark.parametrize(("family", "expected"), TABLE)
def test_what_each_family_can_do(
    family: Callable[[LlamaTarget], Drafter], expected: set[str]
) -> None:
    drafter = family(random_target())
    assert {name for name, kind in CAPABILITIES.items() if isinstance(drafter, kind)} == expected


@pytest.mark.parametrize("family", [*fakes.SENTENCEWISE, *fakes.ONE_EACH])
def test_only_what_counts_learns_without_gradients(
    family: Callable[[LlamaTarget], Drafter],
) -> None:
    drafter = family(random_target())
    learns = any(weight.requires_grad for weight in drafter.parameters())
    assert counts(drafter) == (family in (fakes.ngram, fakes.word_ngram))
    assert learns == (isinstance(drafter, Trainable) and not counts(drafter))


def test_how_many_tokens_each_family_drafts() -> None:
    target = random_target()
    matrix, lstm, mlp = fakes.matrix(target), fakes.lstm(target), fakes.mlp(target)
    assert longest_draft(matrix) == 5
    assert longest_draft(lstm) is None
    assert longest_draft(mlp) is None, "its last step repeats"
    check_length(matrix, 5)
    check_length(lstm, 100)
    with pytest.raises(
        UserError, match=r"k=6 was given, but this drafter=matrix was made to draft 5"
    ):
        check_length(matrix, 6)


def test_which_families_read_a_source() -> None:
    target = Seq2SeqTarget(random_t5(), "random")
    layout = layout_of(seq2seq.t5(target))
    assert layout is not None
    assert layout.start == 1
    assert layout_of(seq2seq.transformer(target)) is None
    assert layout_of(seq2seq.lstm(target)) is None


def test_a_stop_rule_is_a_calibrated_threshold() -> None:
    """sigmoid(2 x - 1) reaches 0.6 between 0.5 and 1; without a threshold everything passes."""
    score = torch.tensor([-1.0, 0.5, 1.0])
    rule = StopRule(2.0, -1.0, threshold=0.6)
    assert torch.allclose(rule.log_probs(score).exp(), torch.sigmoid(2 * score - 1))
    assert rule.passes(rule.log_probs(score)).tolist() == [False, False, True]
    assert StopRule().passes(StopRule().log_probs(score - 50)).all()


@pytest.mark.parametrize("cumulative", [False, True])
@pytest.mark.parametrize("family", [fakes.word_lstm, fakes.word_cnn, fakes.sentence])
def test_drafts_stop_where_confidence_says(
    family: Callable[[LlamaTarget], Drafter], cumulative: bool
) -> None:
    """Proposal.confidence_BN is what the stop rule judges: a draft passes while it, or its product
    along the draft, reaches the threshold."""
    target = random_target()
    drafter = family(target).eval()
    drafter.bind(target)
    assert isinstance(drafter, Confident)
    sampling = Sampling()
    tokens_BT, length_B = torch.randint(2, 24, (40, 12)), torch.full((40,), 12)
    hidden = target.forward(tokens_BT[:, :11], taps=drafter.needs.taps)
    context = fakes.context_of(torch.nn.functional.pad(tokens_BT, (0, 8)), length_B)
    seen = Observation(
        tokens_BT[:, :11], length_B * 0, length_B - 1, hidden.hidden_BPD, hidden.taps_BPC
    )
    ended = 0
    for threshold in (0.0, 0.05, 0.3):
        drafter.set_stop_rule(StopRule(0.8, 0.2, threshold, cumulative))
        state = drafter.allocate(40, 20, 4)
        drafter.observe(state, seen, context)
        proposal = drafter.propose(state, context, 4, sampling, torch.rand(40, 4))
        assert proposal.confidence_BN is not None
        assert proposal.valid_BN is not None
        judged_BN = proposal.confidence_BN
        if cumulative:
            judged_BN = judged_BN.cumprod(1)
        passes_BN = (judged_BN >= threshold).long().cumprod(1).bool()
        assert not (proposal.valid_BN & ~passes_BN).any()
        ended += int((~passes_BN).sum())
    assert ended > 0
