"""How good texts are where there are references: ROUGE, chrF and word accuracy.

What is summed over texts adds up over groups and processes; figures are read from sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sacrebleu.metrics.helpers import extract_all_char_ngrams
from torch import Tensor

ROUGE = ("rouge1", "rouge2", "rougeL")
ORDER, BETA = 6, 2  # chrF: n-grams of up to so many letters, recall so many times as important
PARTS = (1, len(ROUGE), 2, 3 * ORDER)  # of the sums: texts, ROUGE, words, n-grams of letters


def sums(texts: Sequence[str], references: Sequence[str]) -> Tensor:
    """sums_n of PARTS in float64: how many texts, their ROUGE, then counts: words that agree,
    words of the longer side, and of every length the n-grams of texts, references and both."""
    from rouge_score.rouge_scorer import RougeScorer  # slow to import, and not every run asks
    from rouge_score.tokenizers import DefaultTokenizer

    scorer = RougeScorer(ROUGE, tokenizer=DefaultTokenizer())  # not named, it is logged
    rows = [[0.0] * sum(PARTS)]
    for text, reference in zip(texts, references, strict=True):
        found = scorer.score(reference, text)
        rouge = [found[name].fmeasure for name in ROUGE]
        rows.append([1, *rouge, *_words(text, reference), *_letters(text, reference)])
    return torch.tensor(rows, dtype=torch.float64).sum(0)


def figures(sums_n: Tensor) -> dict[str, float]:
    """Shares of 1, from `sums` of at least one text.

    rouge1, rouge2, rougeL: F-measures (Lin 2004, aclanthology.org/W04-1013), the mean over texts;
    without stemming, and of ASCII letters and digits alone, as the rouge-score package has them.
    chrf: chrF2 (Popović 2015, aclanthology.org/W15-3049) of all texts together, a hundredth of
    sacrebleu's corpus score. word_accuracy: words of a longest common subsequence, case and
    punctuation included, of the words of the longer side, all texts together.
    """
    texts, rouge_3, words_2, letters_n = sums_n.split(PARTS)
    return {
        **dict(zip(ROUGE, (rouge_3 / texts).tolist(), strict=True)),
        "chrf": _chrf(letters_n.view(ORDER, 3)),
        "word_accuracy": float(words_2[0] / words_2[1].clamp(min=1)),
    }


def _words(text: str, reference: str) -> tuple[int, int]:
    ours, theirs = text.split(), reference.split()
    return in_common(ours, theirs), max(len(ours), len(theirs))


def in_common(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """The length of a longest common subsequence."""
    best = [0] * (len(theirs) + 1)  # with so many of theirs, and ours so far
    for word in ours:
        before = 0
        for place, other in enumerate(theirs, start=1):
            above = best[place]
            best[place] = before + 1 if word == other else max(above, best[place - 1])
            before = above
    return best[-1]


def _letters(text: str, reference: str) -> list[int]:
    """n-grams of the text, of the reference and of both, for every n. Of a length that the
    reference has none of, none are counted."""
    counts = []
    pairs = (extract_all_char_ngrams(some, ORDER) for some in (text, reference))
    for ours, theirs in zip(*pairs, strict=True):
        counts += [ours.total() if theirs else 0, theirs.total(), (ours & theirs).total()]
    return counts


def _chrf(counts_n3: Tensor) -> float:
    """The F-measure of mean precision and mean recall, over lengths that both sides have."""
    ours_n, theirs_n, both_n = counts_n3[(counts_n3[:, :2] > 0).all(1)].unbind(1)
    if not both_n.sum():
        return 0.0
    precision, recall = float((both_n / ours_n).mean()), float((both_n / theirs_n).mean())
    return (1 + BETA**2) * precision * recall / (BETA**2 * precision + recall)
