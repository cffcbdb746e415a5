"""How good texts are where there are references: ROUGE, chrF and word accuracy.

Sums over texts add up over groups and processes; figures are computed from sums.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from sacrebleu.metrics.helpers import extract_all_char_ngrams
from torch import Tensor

from litdraft.reports.schema import TextQuality

ROUGE = ("rouge1", "rouge2", "rougeL")
ORDER, BETA = 6, 2  # chrF: n-grams of up to ORDER characters; recall counts BETA times
PARTS = (1, len(ROUGE), 2, 3 * ORDER)  # of the sums: texts, ROUGE, words, n-grams of characters


def sums(texts: Sequence[str], references: Sequence[str]) -> Tensor:
    """sums_n of PARTS in float64: number of texts, their ROUGE, then counts: words that agree,
    words of the longer text, and for every length the n-grams of texts, references and both."""
    from rouge_score.rouge_scorer import RougeScorer  # slow to import, and not every run needs it
    from rouge_score.tokenizers import DefaultTokenizer

    scorer = RougeScorer(ROUGE, tokenizer=DefaultTokenizer())  # the default is the same, but logs
    rows = [[0.0] * sum(PARTS)]
    for text, reference in zip(texts, references, strict=True):
        scores = scorer.score(reference, text)
        rouge = [scores[name].fmeasure for name in ROUGE]
        rows.append([1, *rouge, *_words(text, reference), *_letters(text, reference)])
    return torch.tensor(rows, dtype=torch.float64).sum(0)


def figures(sums_n: Tensor) -> TextQuality:
    """Shares of 1, from `sums` of at least one text.

    rouge1, rouge2, rougeL: F-measures (Lin 2004, aclanthology.org/W04-1013), the mean over texts;
    without stemming, and of ASCII letters and digits alone, as the rouge-score package has them.
    chrf: chrF2 (Popović 2015, aclanthology.org/W15-3049) of all texts together, a hundredth of
    sacrebleu's corpus score. word_accuracy: words of a longest common subsequence, case and
    punctuation included, of the words of the longer side, all texts together.
    """
    texts, rouge_3, words_2, letters_n = sums_n.split(PARTS)
    rouge1, rouge2, rouge_l = (rouge_3 / texts).tolist()
    return TextQuality(
        rouge1=rouge1,
        rouge2=rouge2,
        rougeL=rouge_l,
        chrf=_chrf(letters_n.view(ORDER, 3)),
        word_accuracy=float(words_2[0] / words_2[1].clamp(min=1)),
    )


def _words(text: str, reference: str) -> tuple[int, int]:
    ours, theirs = text.split(), reference.split()
    return in_common(ours, theirs), max(len(ours), len(theirs))


def in_common(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """The length of a longest common subsequence."""
    length = [0] * (len(theirs) + 1)  # by how many of theirs are used, with ours so far
    for word in ours:
        diagonal = 0
        for column, other in enumerate(theirs, start=1):
            above = length[column]
            length[column] = diagonal + 1 if word == other else max(above, length[column - 1])
            diagonal = above
    return length[-1]


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
