"""Figures of texts compared with references, by hand and against the packages' own."""

from __future__ import annotations

import pytest
import sacrebleu
import torch
from rouge_score.rouge_scorer import RougeScorer

from litdraft.evaluation.quality import figures, in_common, sums

TEXTS = ["The cat sat on the mat.", "Größer ist besser", "", "an", "He left, at noon ."]
REFERENCES = ["A cat sat on a mat, then.", "größer ist nicht besser", "Not so.", "on", "He left."]


def test_figures_by_hand() -> None:
    """Three of four words right, two of their three pairs; case and marks count as words only."""
    found = figures(sums(["a b c d"], ["a b x d"]))
    assert found.rouge1 == found.rougeL == found.word_accuracy == 3 / 4
    assert found.rouge2 == pytest.approx(1 / 3)
    # Letters abcd and abxd: 3 of 4 alone, 1 of 3 pairs, none of the longer ones.
    assert found.chrf == pytest.approx((3 / 4 + 1 / 3) / 4)
    marks = figures(sums(["Yes, he left."], ["yes he left"]))
    assert marks.rouge2 == 1
    assert marks.word_accuracy == 1 / 3


@pytest.mark.parametrize("text, share", [(REFERENCES[0], 1.0), ("", 0.0), ("_ _", 0.0)])
def test_the_reference_itself_is_perfect_and_nothing_of_it_is_nothing(
    text: str, share: float
) -> None:
    assert set(vars(figures(sums([text], REFERENCES[:1]))).values()) == {share}


def test_figures_are_those_of_the_packages() -> None:
    found = figures(sums(TEXTS, REFERENCES))
    corpus = sacrebleu.corpus_chrf(TEXTS, [REFERENCES]).score
    assert 0 < corpus < 100
    assert found.chrf == pytest.approx(corpus / 100, abs=1e-12)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    scores = [scorer.score(*pair) for pair in zip(REFERENCES, TEXTS, strict=True)]
    for name in ("rouge1", "rouge2", "rougeL"):
        mean = sum(score[name].fmeasure for score in scores) / len(scores)
        assert getattr(found, name) == pytest.approx(mean, abs=1e-12)


def test_parts_add_up() -> None:
    """Groups and processes sum what they hold, which may be nothing."""
    parts = [sums(TEXTS[some], REFERENCES[some]) for some in (slice(0), slice(2), slice(2, 5))]
    whole = sums(TEXTS, REFERENCES)
    assert torch.stack(parts).sum(0).tolist() == pytest.approx(whole.tolist())
    assert whole[0] == 5


@pytest.mark.parametrize(
    "ours, theirs, length",
    [("", "a", 0), ("a b c", "b c a", 2), ("a a b", "a b a b", 3), ("d c b a", "a b c d", 1)],
)
def test_words_in_common_keep_their_order(ours: str, theirs: str, length: int) -> None:
    assert in_common(ours.split(), theirs.split()) == length
    assert in_common(theirs.split(), ours.split()) == length
