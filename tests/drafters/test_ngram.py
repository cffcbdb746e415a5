"""Counted probabilities against an obvious slow model of the same formula."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fakes import context_of
from torch import Tensor

from litdraft.drafters.ngram import NGram
from litdraft.drafters.parts import ngram_counts as ngrams
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec, TrainingBatch
from litdraft.sampling import Sampling

V = 7
SPEC = TargetSpec("small", V, 8, 1, 128, 1, (2,))
Text = list[int]


def corpus(texts: int = 12, longest: int = 60) -> list[Text]:
    """Texts with habits, so that long histories come back; some are very short."""
    generator = torch.Generator().manual_seed(1)
    rows = torch.rand(texts, longest, generator=generator).mul(V).pow(0.8).long()
    rows[:, 1::3] = (rows[:, ::3][:, : rows[:, 1::3].shape[1]] + 1) % V
    return [row[: longest // (1 + i % 5) - i % 3].tolist() for i, row in enumerate(rows)] + [[3]]


class Slow:
    """Chen and Goodman's interpolated Kneser-Ney model, word by word."""

    def __init__(self, texts: list[Text], order: int, least: int, continuations: int) -> None:
        self.least, self.continuations = least, continuations
        self.observation: Counter[tuple[int, ...]] = Counter()
        left: dict[tuple[int, ...], set[Any]] = defaultdict(set)
        for number, text in enumerate(texts):
            for n in range(1, order + 1):
                for i in range(len(text) - n + 1):
                    gram = tuple(text[i : i + n])
                    self.observation[gram] += 1
                    left[gram].add(text[i - 1] if i else ("beginning", number))
        self.weight = {
            gram: observation if len(gram) == order else len(left[gram])
            for gram, observation in self.observation.items()
        }
        self.discounts = [self.estimate(n) for n in range(1, order + 1)]

    def estimate(self, n: int) -> list[float]:
        t = Counter(weight for gram, weight in self.weight.items() if len(gram) == n)
        if not (t[1] and t[2] and t[3]):
            return [0.0, 0.5, 1.0, 1.5]
        y = t[1] / (t[1] + 2 * t[2])
        found = [c - (c + 1) * y * t[c + 1] / t[c] for c in (1, 2, 3)]
        sound = all(0 < d <= c for c, d in enumerate(found, start=1))
        return [0.0, *found] if sound else [0.0, 0.5, 1.0, 1.5]

    def probs(self, history: Text) -> list[float]:
        behind = {w: (*history, w) for w in range(V) if (*history, w) in self.weight}
        total = sum(self.weight[gram] for gram in behind.values())
        kept = [
            w for w, gram in behind.items() if len(gram) < 3 or self.observation[gram] >= self.least
        ]
        if history:
            kept = sorted(kept, key=lambda w: (-self.weight[behind[w]], w))[: self.continuations]
        discount = self.discounts[len(history)] if len(history) < len(self.discounts) else []
        gained = {
            w: (self.weight[behind[w]] - discount[min(self.weight[behind[w]], 3)]) / total
            for w in kept
        }
        shorter = self.probs(history[1:]) if history else [1 / V] * V
        rest = 1 - sum(gained.values())
        return [gained.get(w, 0.0) + rest * shorter[w] for w in range(V)]


def tensors(texts: list[Text]) -> list[Tensor]:
    return [torch.tensor(text) for text in texts]


def made(texts: list[Text], order: int, least: int = 1, continuations: int = 64) -> NGram:
    drafter = NGram(SPEC, order, continuations, least).double()
    drafter.count(tensors(texts))
    return drafter


def told(drafter: NGram, text: Text, start: list[int] | None = None) -> Tensor:
    """probs_SV behind every token of a text."""
    tokens_BT = torch.tensor([[*text, 0]])
    start_BS = None if start is None else torch.tensor([start])
    batch = TrainingBatch(tokens_BT, torch.ones(1, len(text)).bool(), None, None, 2, start_BS)
    return drafter.unembed(drafter.states(batch)[0, :, 0], 0).exp()


@pytest.mark.parametrize("order", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("least, continuations", [(1, 64), (2, 64), (1, 2), (3, 1)])
def test_probabilities_are_those_of_the_formula(order: int, least: int, continuations: int) -> None:
    texts = corpus()
    slow = Slow(texts, order, least, continuations)
    drafter = made(texts, order, least, continuations)
    for text in [texts[1], [0, 0, 6, 6, 6, 1, 2, 3, 4]]:
        probs_SV = told(drafter, text)
        assert torch.allclose(probs_SV.sum(-1), torch.ones(()).double(), atol=1e-12)
        for s in range(len(text)):
            history = text[max(0, s + 2 - order) : s + 1] if order > 1 else []
            exact = torch.tensor(slow.probs(history), dtype=torch.float64)
            assert (probs_SV[s] - exact).abs().max() < 1e-12


@pytest.mark.parametrize("order", [2, 4])
def test_large_keys_are_sorted_in_another_way(order: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As with large vocabularies and long texts; the tables are the same."""
    packed = made(corpus(), order, continuations=2).state_dict()

    def stable(key_n: ngrams.Ints, place_n: ngrams.Ints) -> tuple[ngrams.Ints, ngrams.Ints]:
        places, rows = ngrams_sorted(key_n + (1 << 62), place_n)
        return places - (1 << 62), rows

    ngrams_sorted = ngrams._sorted
    monkeypatch.setattr(ngrams, "_sorted", stable)
    other = made(corpus(), order, continuations=2).state_dict()
    assert all(torch.equal(packed[name], other[name]) for name in packed)


def test_texts_do_not_run_into_each_other() -> None:
    apart = made([[1, 2, 3], [4, 5, 6], [1, 2], [5]], 3)
    assert apart.keys.tolist()[:-1] == [1 * V + 2, 2 * V + 3, 4 * V + 5, 5 * V + 6]
    together = made([[1, 2, 3, 4, 5, 6]], 3)
    assert told(together, [3])[0, 4] > told(apart, [3])[0, 4]


def test_a_history_does_not_reach_before_its_own_text() -> None:
    drafter, text = made(corpus(), 4), [1, 2, 3, 1, 2, 3]
    packed_SV = told(drafter, text * 2, [0] * 6 + [6] * 6)
    assert torch.equal(packed_SV[6:], packed_SV[:6])
    assert not torch.equal(told(drafter, text * 2)[6:8], packed_SV[:2])


def test_nothing_counted_is_the_uniform_distribution() -> None:
    for order in (1, 3):
        probs_SV = told(NGram(SPEC, order).double(), [1, 2, 3, 4])
        assert torch.allclose(probs_SV, torch.full((4, V), 1 / V).double())


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_proposals_are_what_states_say(order: int) -> None:
    """Rows as short as one token; greedy drafts are the likeliest tokens."""
    drafter, k = made(corpus(), order, continuations=3), 4
    tokens_BT, length_B = torch.randint(0, V, (9, 12)), torch.arange(1, 10)
    context, uniforms_BK = context_of(tokens_BT, length_B), torch.rand(9, k).double()
    for sampling in (Sampling(1.0), Sampling(0.7, top_k=3), Sampling()):
        proposal = drafter.propose(None, context, k, sampling, uniforms_BK)
        assert (proposal.probs_BNU is None) == sampling.greedy
        for row, length in enumerate(length_B.tolist()):
            drafts = proposal.tokens_BN[row].tolist()
            probs_SV = told(drafter, tokens_BT[row, :length].tolist() + drafts)
            for j, draft in enumerate(drafts):
                exact_V = sampling.probs(probs_SV[length - 1 + j].log())
                if proposal.probs_BNU is not None:
                    assert (proposal.probs_BNU[row, j] - exact_V).abs().max() < 1e-12
                    mass_V = exact_V.cumsum(0)
                    assert draft == int((mass_V <= uniforms_BK[row, j]).sum())
                else:
                    assert draft == int(exact_V.argmax())


def test_what_was_counted_is_saved_and_loaded(tmp_path: Path) -> None:
    drafter = made(corpus(), 4).float()
    torch.save(drafter.state_dict(), tmp_path / "counts.pt")
    fresh = NGram(SPEC, 4, continuations=1)  # how many were kept stands in the file
    fresh.load_state_dict(torch.load(tmp_path / "counts.pt", weights_only=True))
    assert all(torch.equal(a, b) for a, b in zip(drafter.buffers(), fresh.buffers(), strict=True))
    assert torch.equal(told(fresh, [1, 2, 3, 4]), told(drafter, [1, 2, 3, 4]))
    with pytest.raises(RuntimeError, match="size mismatch"):
        NGram(SPEC, 3).load_state_dict(drafter.state_dict())


@pytest.mark.parametrize("least", [1, 2])
def test_texts_may_be_shorter_than_n_grams(least: int) -> None:
    for texts in ([[3]], [[3], [], [4, 4]]):
        slow = Slow(texts, 5, least, 64)
        probs_SV = told(made(texts, 5, least), [4, 3])
        for s, history in enumerate(([4], [4, 3])):
            exact_V = torch.tensor(slow.probs(history), dtype=torch.float64)
            assert (probs_SV[s] - exact_V).abs().max() < 1e-12


def test_counting_again_starts_anew() -> None:
    drafter = made(corpus(), 3)
    drafter.count(tensors([[1, 2, 3]]))
    assert torch.equal(told(drafter, [1, 2]), told(made([[1, 2, 3]], 3), [1, 2]))


def test_compiled_proposals_are_eager_ones() -> None:
    drafter, sampling = made(corpus(), 3, continuations=4), Sampling(1.0)
    context = context_of(torch.randint(0, V, (2, 9)), torch.tensor([1, 7]))
    uniforms_BK = torch.rand(2, 3).double()
    eager = drafter.propose(None, context, 3, sampling, uniforms_BK)
    act = torch.compile(drafter.propose, dynamic=False, fullgraph=True)
    told = act(None, context, 3, sampling, uniforms_BK)
    assert torch.equal(told.tokens_BN, eager.tokens_BN)
    assert told.probs_BNU is not None
    assert eager.probs_BNU is not None
    assert torch.allclose(told.probs_BNU, eager.probs_BNU, atol=1e-12)


def test_what_cannot_be_counted_is_told() -> None:
    with pytest.raises(UserError, match="order=6"):
        NGram(SPEC, 6)
    with pytest.raises(UserError, match="continuations=0"):
        NGram(SPEC, continuations=0)
    with pytest.raises(UserError, match="no text to count"):
        NGram(SPEC).count([torch.tensor([], dtype=torch.long)])
    with pytest.raises(UserError, match=r"tokens 1 to 9 .* has 7 tokens"):
        NGram(SPEC).count([torch.tensor([1, 9])])
