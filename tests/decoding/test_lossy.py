"""Lossy decoding: what is kept, what the cache then holds, and that rows do not disturb rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from tests.fakes import SENTENCEWISE, lstm_lm, random_target
from torch import Tensor

from litdraft.decoding.lossy import Phrase, Skip
from litdraft.decoding.speculate import Speculate
from litdraft.decoding.state import LoopState
from litdraft.protocols import Context, Drafter, Verdict
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2]]
SAMPLINGS = [Sampling(), Sampling(0.8)]
Family = Callable[[LlamaTarget], Drafter]


def loop(kind: type[Speculate], family: Family, sampling: Sampling, **target: Any) -> Speculate:
    model = random_target(**{"eos": (11,), **target})
    drafter = family(model).eval()
    drafter.bind(model)
    more: dict[str, Any] = {"bound": 0.02} if kind is Phrase else {}
    return kind(model, drafter, 3, sampling, seed=3, **more)


@pytest.mark.parametrize("kind", [Skip, Phrase])
@pytest.mark.parametrize("family", SENTENCEWISE)
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_the_cache_holds_what_a_fresh_pass_gives(
    family: Family, kind: type[Speculate], sampling: Sampling
) -> None:
    """After every round, for every row: the next token's logits, in float32."""
    skipping = loop(kind, family, sampling, dtype=torch.float32, eos=())
    target, caches, checked = skipping.target, [], 0
    begin = skipping.begin

    def begun(*asked: Any) -> LoopState:
        state = begin(*asked)
        caches.append(state.cache)
        return state

    skipping.begin = begun  # type: ignore[assignment,method-assign]

    def watch(context: Context, verdict: Verdict | None) -> None:
        nonlocal checked
        (cache,) = caches
        assert torch.equal(cache.length_B, context.length_B - 1)
        ours_BV = target.unembed(target.forward(context.unread_B1(), cache).hidden_BPD[:, 0])
        for row, length in enumerate(context.length_B.tolist()):
            fresh = target.forward(context.tokens_BT[row : row + 1, :length]).hidden_BPD[:, -1]
            theirs_V = target.unembed(fresh)[0]
            assert (ours_BV[row] - theirs_V).abs().max() <= 1e-5 * theirs_V.abs().max()
            checked += 1

    skipping.generate(PROMPTS, 30, watch=watch)
    assert checked > 20


@pytest.mark.parametrize("kind", [Skip, Phrase])
@pytest.mark.parametrize("family", [*SENTENCEWISE, lstm_lm])
@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_texts_depend_on_the_seed_alone(
    family: Family, kind: type[Speculate], sampling: Sampling
) -> None:
    skipping = loop(kind, family, sampling)
    together = skipping.generate(PROMPTS, 30)
    again = skipping.generate(PROMPTS, 30)
    alone = [skipping.generate([some], 30, rows=[row]) for row, some in enumerate(PROMPTS)]
    assert together.tokens == again.tokens == [one.tokens[0] for one in alone]
    assert together.accepted == [one.accepted[0] for one in alone]


@pytest.mark.parametrize("family", [*SENTENCEWISE, lstm_lm])
def test_skipping_keeps_all_drafts_and_asks_the_target_for_the_rest(family: Family) -> None:
    """Written once more by hand: the drafter's tokens, then the target's best behind them."""
    skipping = loop(Skip, family, Sampling())
    proposals: list[tuple[Tensor, Tensor]] = []
    propose = skipping.drafter.propose

    def proposed(*asked: Any) -> Any:
        proposal = propose(*asked)
        tokens_BN, valid_BN = proposal.tokens_BN, proposal.valid_BN
        proposals.append((tokens_BN, torch.ones_like(tokens_BN) if valid_BN is None else valid_BN))
        return proposal

    skipping.drafter.propose = proposed  # type: ignore[assignment,method-assign]
    found = skipping.generate(PROMPTS[:1], 30)
    assert found.accepted == found.drafted
    text = [*PROMPTS[0], found.known[0][0]]
    for tokens_BN, valid_BN in proposals:
        text += tokens_BN[0, : int(valid_BN.sum())].tolist()
        hidden_BPD = skipping.target.forward(torch.tensor([text])).hidden_BPD
        text.append(int(skipping.target.argmax(hidden_BPD[:, -1])))
    known = [*PROMPTS[0], *found.known[0]]
    assert known == text[: len(known)]
    assert any(bool(valid_BN.any()) for _, valid_BN in proposals)


@pytest.mark.parametrize("family", [*SENTENCEWISE, lstm_lm])
def test_phrasing_keeps_what_the_target_gives_at_least_the_bound(family: Family) -> None:
    phrasing = loop(Phrase, family, Sampling())
    assert isinstance(phrasing, Phrase)
    spared = 0
    phrasing.bound = 0.0
    skipping = Skip(phrasing.target, phrasing.drafter, 3, Sampling(), seed=3)
    assert phrasing.generate(PROMPTS, 30).tokens == skipping.generate(PROMPTS, 30).tokens
    phrasing.bound = 1.1  # nothing is likely enough
    assert not any(kept for row in phrasing.generate(PROMPTS, 30).accepted for kept in row)
    phrasing.bound = 0.02
    found = phrasing.generate(PROMPTS, 30)
    for prompt, text, accepted in zip(PROMPTS, found.known, found.accepted, strict=True):
        whole = torch.tensor([[*prompt, *text]])
        hidden_BPD = phrasing.target.forward(whole[:, :-1]).hidden_BPD[0]
        probs_TV = phrasing.target.unembed(hidden_BPD).softmax(-1)
        probs_T = probs_TV.gather(1, whole[0, 1:, None])[len(prompt) - 1 :, 0].tolist()
        at = 1
        for kept in accepted:
            assert all(prob >= 0.02 for prob in probs_T[at : at + kept])
            at += kept + 1
            spared += kept
    assert spared > 0
