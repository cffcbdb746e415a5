"""Certainty counted, predicted and turned into time, compared with brute force."""

from __future__ import annotations

import random
from itertools import pairwise

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from tests.fakes import random_target

from litdraft.errors import UserError
from litdraft.evaluation.average_precision import PRECISIONS, curve
from litdraft.reports.provenance import provenance
from litdraft.studies import certainty, certainty_plots, skipping
from litdraft.studies.certainty import BOUNDS, Certainty, PositionStats, Text, position_stats
from litdraft.studies.certainty_figures import figures
from litdraft.studies.detection import ORDERS, detect
from litdraft.studies.schema import CertaintyReport
from litdraft.studies.skipping import LONGEST, pass_counts, pass_seconds, passes, speedup
from litdraft.tokenizers.token_kinds import KINDS, SUFFIX, WORD, TokenKinds


def some_texts(count: int = 11, vocabulary: int = 24) -> list[Text]:
    texts = []
    for number in range(count):
        tokens_T = torch.randint(vocabulary, (5 + 3 * number,))
        counted_T = torch.rand(len(tokens_T)) < 0.7
        counted_T[0] = False
        texts.append(Text(tokens_T, 2, counted_T))
    return texts


def test_counts_equal_those_by_brute_force(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the batch and the chunk: each text alone, each position alone."""
    target, texts = random_target(), some_texts()
    target.model.norm.weight.mul_(3)  # so that some are certain
    kinds = TokenKinds(torch.randint(len(KINDS), (24,)), torch.rand(24) < 0.5)
    monkeypatch.setattr(certainty, "CHUNK", 7)
    found = Certainty.of(position_stats(target, texts), kinds)
    positions, sure, right = np.zeros((3, len(KINDS), len(BOUNDS)), int)
    for text in texts:
        logits_TV = target.unembed(target.forward(text.tokens_T[None]).hidden_BPD[0])
        for position in range(len(text.tokens_T) - 1):
            if not text.counted_T[position + 1]:
                continue
            top, token = logits_TV[position].softmax(-1).max(-1)
            kind = int(kinds.kind_V[token])
            if kind == SUFFIX and not kinds.continues_V[text.tokens_T[position]]:
                kind = WORD
            for column, bound in enumerate(BOUNDS):
                positions[kind, column] += 1
                sure[kind, column] += top >= bound
                right[kind, column] += top >= bound and token == text.tokens_T[position + 1]
    assert found.positions == sum(int(text.counted_T.sum()) for text in texts)
    assert found.positions_G.tolist() == positions[:, 0].tolist()
    assert found.certain_GN.tolist() == sure.tolist()
    assert found.right_GN.tolist() == right.tolist()
    assert 0 < found.share_N[2] < found.share_N[0] < 1
    assert found.share_N[0] == pytest.approx(sure[:, 0].sum() / found.positions)


def test_later_tokens_change_nothing() -> None:
    target, text = random_target(), some_texts(9)[-1]
    longer = Text(torch.cat((text.tokens_T, torch.tensor([3, 4]))), 2,
                  torch.cat((text.counted_T, torch.tensor([False, False]))))  # fmt: skip
    (one,), (two,) = position_stats(target, [text]), position_stats(target, [longer])
    assert torch.equal(one.argmax_n, two.argmax_n)
    assert torch.allclose(one.top_n, two.top_n)
    assert position_stats(target, [Text(text.tokens_T, 2, torch.zeros_like(text.counted_T))]) == []


CASES = {
    "nothing certain": ("....", [1, 1, 1]),
    "everything": ("###", []),
    "the first is the prompt's": ("#...", [1, 1, 1]),
    "runs": (".##.#..", [3, 2, 1]),
    "left over": (".#.##", [2]),
    "longest": ("." + "#" * (LONGEST + 3) + ".", [LONGEST, 4]),
}


@pytest.mark.parametrize("text, sizes", CASES.values(), ids=CASES.keys())
def test_skipped_tokens_are_read_by_the_next_pass(text: str, sizes: list[int]) -> None:
    assert passes([letter == "#" for letter in text]) == sizes


def test_every_token_is_read_once_but_those_left_over() -> None:
    texts = [[random.random() < 0.6 for _ in range(200)] + [False] for _ in range(5)]
    counts = pass_counts(texts)
    assert sum(size * count for size, count in enumerate(counts, start=1)) == 5 * 200
    flat = [1.0] * LONGEST
    assert speedup(counts, 1000, flat) == pytest.approx(1000 / sum(counts))
    dear = [float(size) for size in range(1, LONGEST + 1)]  # a pass costs as many as it reads
    assert speedup(counts, 1000, dear) == 1
    assert speedup(pass_counts([[False] * 201]), 200, dear) == 1
    assert speedup(pass_counts([[True, True]]), 1, flat) is None


def test_passes_are_timed_where_they_fit() -> None:
    seconds = pass_seconds(random_target(), [1, 2, 3], 5)
    assert len(seconds) == LONGEST
    assert min(seconds) > 0
    with pytest.raises(UserError, match="lower max_new_tokens"):
        pass_seconds(random_target(context=16), [1, 2, 3], 5)


def text_stats(tokens: list[int], sure: list[bool]) -> PositionStats:
    """A text of which every position counts."""
    tokens_T = torch.tensor(tokens)
    top_n = torch.where(torch.tensor(sure[:-1]), 0.995, 0.3)
    return PositionStats(tokens_T, torch.arange(len(tokens) - 1), tokens_T[1:], top_n)


def test_certainty_that_depends_on_two_tokens_is_predicted_from_two() -> None:
    texts = [[random.randrange(6) for _ in range(400)] for _ in range(8)]
    sure = [[False, *(a + b == 5 for a, b in pairwise(t))] for t in texts]
    found = detect(list(map(text_stats, texts, sure)), 0.99)
    assert [some.order for some in found] == list(ORDERS)
    one, two, *_ = found
    assert two.texts == 4
    assert two.positions == 4 * 399
    base = two.certain / two.positions
    assert base == pytest.approx(1 / 6, abs=0.05)
    assert one.average_precision < 2 * base, "one token predicts nothing"
    assert (two.average_precision, two.recall) == (1, [1, 1])
    skipped = sum(size * count for size, count in enumerate(two.passes, start=1))
    assert 0 <= 4 * 398 - skipped <= 4 * LONGEST
    assert sum(two.passes) == pytest.approx(4 * 398 * (1 - base), rel=0.05)
    assert sum(one.passes) == 4 * 398, "what is not found is not skipped"


def test_certainty_that_depends_on_nothing_is_not_predicted() -> None:
    texts = [[random.randrange(3) for _ in range(2000)] for _ in range(4)]
    sure = [[random.random() < 0.3 for _ in text] for text in texts]
    for some in detect(list(map(text_stats, texts, sure)), 0.9):
        assert some.average_precision == pytest.approx(some.certain / some.positions, abs=0.04)
        assert max(some.recall) < 0.02
    assert detect([text_stats(texts[0], sure[0])], 0.9) == [], "one text cannot be halved"


def test_area_is_the_mean_precision_over_what_is_certain() -> None:
    """Against its definition, ties found together."""
    score_n = np.random.default_rng(0).integers(0, 12, 200) / 12
    sure_n = np.random.default_rng(1).random(200) < 1.2 * score_n
    least = [(sure_n[score_n >= score]).mean() for score in score_n[sure_n]]
    area, recalls, threshold = curve(score_n, sure_n)
    assert area == pytest.approx(np.mean(least))
    for precision, recall in zip(PRECISIONS, recalls, strict=True):
        good = [t for t in set(score_n) if sure_n[score_n >= t].mean() >= precision]
        assert recall == sure_n[score_n >= min(good)].sum() / sure_n.sum()
    assert threshold == min(good)


def test_what_is_drawn_is_what_was_pass_counts() -> None:
    texts = [[random.randrange(4) for _ in range(50)] for _ in range(4)]
    read = [text_stats(text, [token < 1 for token in text]) for text in texts]
    kinds = TokenKinds(torch.tensor([0, 1, 1, 2]), torch.ones(4, dtype=torch.bool))
    text = figures(read, kinds, [1.0] * LONGEST, 0)
    report = CertaintyReport(
        target="tiny", texts={"own": text, "sampled": text}, pass_seconds=[1.0] * LONGEST,
        prompts=4, prompt_tokens=4, max_new_tokens=50, dtype="float32", fused=False, seed=0,
        **vars(provenance(torch.device("cpu"))),
    )  # fmt: skip
    figure, (left, middle, right) = plt.subplots(1, 3)
    certainty_plots.shares(left, report)
    certainty_plots.kinds(middle, text, "some")
    certainty_plots.detected(right, text, "some")
    assert [bar.get_height() for bar in left.patches] == [*text.share] * 2
    rates = {part.certain[2] / part.positions for part in text.kinds.values()}
    assert {bar.get_width() for bar in middle.patches[3:]} == rates
    areas = [found.average_precision for found in text.detection["0.9"]]
    assert list(right.lines[0].get_ydata()) == areas
    plt.close(figure)


def test_the_clock_is_not_asked_about_the_first_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Medians over turns: one slow pass in each size changes nothing."""
    ticks = iter(range(10**6))
    monkeypatch.setattr(skipping, "_now", lambda device: float(next(ticks)))
    assert pass_seconds(random_target(), [1, 2], 0) == [1.0] * LONGEST
