"""Draft trees are lossless: on every target, greedy and sampled, from a hand-written tree."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.fakes import random_t5, random_target
from tests.foreign import network
from tests.statistic import pair_statistic
from torch import Tensor

from litdraft.checkpoints.hf_causal_check import checked_model as proven
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.decoding.verify import verify
from litdraft.native import build
from litdraft.protocols import (
    Context,
    Drafter,
    GreedyTokens,
    Needs,
    Observation,
    Proposal,
    Target,
)
from litdraft.sampling import Sampling
from litdraft.targets.hf_causal import HFCausalTarget
from litdraft.targets.seq2seq import Seq2SeqTarget

PARENTS = [-1, -1, 1]  # two children of the unread token, and a child of the second
NODES = len(PARENTS)
PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2]]


class HandWritten(Drafter):
    """Guesses by a rule of the unread token that is sometimes right on either branch, and checks
    that it is shown each kept token once, with its own hidden state."""

    needs = Needs(hidden=True)

    def __init__(self, guess: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.guess = guess  # token_n -> the likeliest two after it, n x 2
        self.seen: list[list[int]] = []
        self.checks = True

    def observe(self, state: Any, observation: Observation, context: Context) -> None:
        if not self.checks:
            return
        for row, count in enumerate(observation.count_B.tolist()):
            tokens = observation.tokens_BP[row, :count].tolist()
            self.seen.append(tokens)
            start = int(observation.start_B[row])
            known = context.tokens_BT[row, start : start + count].tolist()
            assert tokens == known, "an accepted path is shown as the text that it became"

    def propose(
        self, state: Any, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        assert k == NODES
        children_B2 = self.guess(context.unread_B1()[:, 0]).flip(1)  # the likelier one second
        grandchild_B1 = self.guess(children_B2[:, 1])[:, :1]
        parent_BN = torch.tensor(PARENTS, device=children_B2.device).expand(len(children_B2), -1)
        return Proposal(torch.cat((children_B2, grandchild_B1), 1), parent_BN=parent_BN)


def bigrams(target: Target, texts: list[list[int]]) -> Callable[[Tensor], Tensor]:
    """What followed each token most often, and second most often, in the target's own texts."""
    vocabulary = target.spec.vocabulary
    counts_VV = torch.rand(vocabulary, vocabulary) * 0.1
    for text in texts:
        for left, right in itertools.pairwise(text):
            counts_VV[left, right] += 1
    best_V2 = counts_VV.topk(2, dim=1).indices
    return lambda token_n: best_V2[token_n]


def llama(**shape: Any) -> Target:
    return random_target(seed=5, eos=(11,), **shape)


def native(**shape: Any) -> Target:
    target = random_target(seed=5, dtype=torch.float32, eos=(11,), **shape)
    target.fuse()
    return target


def hf_causal(vocabulary: int = 24) -> Target:
    model = network("llama", vocab_size=vocabulary)
    return HFCausalTarget(proven(model, 128, "random"), "random", bos=1, eos=(11,))


def hf_windows(vocabulary: int = 24) -> Target:
    """Sliding windows, which count positions and not slots."""
    model = network("gemma3_text", vocab_size=vocabulary)
    return HFCausalTarget(proven(model, 128, "random"), "random", bos=1, eos=(11,))


def t5(**shape: Any) -> Target:
    return Seq2SeqTarget(random_t5(**shape).double(), "random")


TARGETS = [
    llama,
    pytest.param(
        native, marks=pytest.mark.skipif(not build.available(), reason="no native operations here")
    ),
    hf_causal,
    hf_windows,
    t5,
]


def prompts_of(target: Target) -> list[list[int]]:
    layout = target.spec.encoder_decoder
    return PROMPTS if layout is None else [[*prompt, layout.start] for prompt in PROMPTS]


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("make", TARGETS)
def test_greedy_text_is_the_plain_text(make: Callable[[], Target], batch: int) -> None:
    target = make()
    prompts = prompts_of(target)
    plain = Autoregress(target, Sampling()).generate(prompts, 40).tokens
    drafter = HandWritten(bigrams(target, plain))
    loop = Speculate(target, drafter, NODES, Sampling())
    texts, accepted = [], []
    for first in range(0, len(prompts), batch):
        generation = loop.generate(prompts[first : first + batch], 40)
        texts += generation.tokens
        accepted += [count for row in generation.accepted for count in row]
    assert texts == plain
    assert max(accepted) == 2, "both depths of the tree must really be reached"
    assert len(set(accepted)) > 1


@pytest.mark.parametrize("make", TARGETS)
def test_sampled_text_follows_the_targets_distribution(make: Callable[..., Target]) -> None:
    target = make(vocabulary=5)
    target.spec = replace(target.spec, eos=())
    layout = target.spec.encoder_decoder
    prompt = [1, 2] if layout is None else [3, 1, 4, 1, 2, layout.start]
    drafter = HandWritten(lambda token_n: torch.stack((token_n * 2 + 1, token_n * 3 + 2), 1) % 5)
    assert pair_statistic(target, prompt, drafter, NODES) < 1


@pytest.mark.parametrize("make", TARGETS)
def test_a_row_says_the_same_in_any_batch(make: Callable[[], Target]) -> None:
    target, sampling = make(), Sampling(0.8, top_k=6)
    if target.dtype != torch.float64:
        pytest.skip("batches round differently below float64")
    prompts = prompts_of(target)
    guess = bigrams(target, Autoregress(target, sampling).generate(prompts, 40).tokens)
    loop = Speculate(target, HandWritten(guess), NODES, sampling, seed=3)
    together = loop.generate(prompts, 30).tokens
    alone = [loop.generate([p], 30, rows=[row]).tokens[0] for row, p in enumerate(prompts)]
    assert together == alone


def test_verification_emits_the_targets_distribution() -> None:
    """By exact enumeration: every pair of emitted tokens has the target's probability, however the
    tree is built."""
    vocabulary, generator = 3, torch.Generator().manual_seed(2)
    after_V = torch.rand(vocabulary, generator=generator).softmax(0).double()
    after_VV = torch.rand(vocabulary, vocabulary, generator=generator).mul(3).softmax(1).double()
    tokens_BN = torch.tensor([[2, 0, 1]])
    parent_BN = torch.tensor([PARENTS])
    probs_1PV = torch.stack((after_V, after_VV[2], after_VV[0], after_VV[1]))[None]
    grid = 120
    points = (torch.arange(grid, dtype=torch.float64) + 0.5) / grid
    mass: dict[tuple[int, ...], float] = {}
    for one, two in itertools.product(points, points):
        drawn_1P = torch.stack((one, two, two, two))[None]
        verdict = verify(Proposal(tokens_BN, parent_BN=parent_BN), probs_1PV, drawn_1P)
        text = tuple(verdict.tokens_BP[0, : int(verdict.count_B)].tolist())
        mass[text] = mass.get(text, 0) + grid**-2
    for first in range(vocabulary):
        total = sum(weight for text, weight in mass.items() if text[0] == first)
        assert total == pytest.approx(float(after_V[first]), abs=2 / grid)
    for second in range(vocabulary):  # token 0 is a child, so what follows it is drawn as well
        total = sum(w for text, w in mass.items() if text[:2] == (0, second))
        assert total == pytest.approx(float(after_V[0] * after_VV[0, second]), abs=4 / grid)
    assert all(len(text) == 1 for text in mass if text[0] == 1), "token 1 is no child of the root"


def test_a_chain_as_a_tree_is_accepted_like_a_chain() -> None:
    generator = torch.Generator().manual_seed(4)
    rows, nodes, vocabulary = 500, 4, 3
    tokens_BN = torch.randint(0, vocabulary, (rows, nodes), generator=generator)
    choice_BP = torch.randint(0, vocabulary, (rows, nodes + 1), generator=generator)
    parent_BN = torch.arange(-1, nodes - 1).expand(rows, -1)
    drawn_BP = torch.full((rows, nodes + 1), 0.5).double()
    chain = verify(Proposal(tokens_BN), GreedyTokens(choice_BP), drawn_BP)
    tree = verify(Proposal(tokens_BN, parent_BN=parent_BN), GreedyTokens(choice_BP), drawn_BP)
    assert torch.equal(chain.count_B, tree.count_B)
    assert tree.path_BW is not None
    counted_BP = torch.arange(nodes + 1) < chain.count_B[:, None]
    assert torch.equal(chain.tokens_BP[counted_BP], tree.tokens_BP[counted_BP])
    steps_BW = torch.arange(nodes).expand(rows, -1)
    kept_BW = steps_BW < tree.accepted_B[:, None]
    assert torch.equal(tree.path_BW[kept_BW], steps_BW[kept_BW])


def test_a_tree_has_no_probabilities() -> None:
    tokens_BN = torch.zeros(1, 2, dtype=torch.long)
    with pytest.raises(ValueError, match="deterministic"):
        Proposal(tokens_BN, torch.ones(1, 2, 3), parent_BN=torch.tensor([[-1, 0]]))
