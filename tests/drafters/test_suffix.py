"""Suffix decoding against an obvious slow search, and what it remembers of whom."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from tests import fakes
from tests.fakes import random_target

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.parts import suffix_index as texts
from litdraft.drafters.parts.suffix_index import Memory
from litdraft.drafters.suffix import Suffix
from litdraft.errors import UserError
from litdraft.protocols import Context, Observation, TrainingBatch
from litdraft.sampling import Sampling

K = 3
Text = list[int]


def slow(text: Text, outputs: list[Text], longest: int, least: float, k: int = K) -> Text:
    """All of the texts searched anew for every suffix, the longest first."""
    for size in range(min(longest, len(text)), 0, -1):
        for source in ([text], outputs):
            places = [
                (one, end)
                for one in source
                for end in range(size, len(one))
                if one[end - size : end] == text[-size:]
            ]
            if places:
                return slowly_followed(places, source == [text], least, k)
    return []


def slowly_followed(places: list[tuple[Text, int]], own: bool, least: float, k: int) -> Text:
    """The row's own text goes on with the draft; an earlier output ends."""
    path: Text = []
    chance = 1.0
    while len(path) < k:
        behind = [(one + path * own)[end:][: len(path) + 1] for one, end in places]
        alive = [rest for rest in behind if rest[:-1] == path]
        if not alive:
            break
        counts = Counter(rest[-1] for rest in alive)
        token = next(r[-1] for r in reversed(alive) if counts[r[-1]] == max(counts.values()))
        went = sum(rest[: len(path)] == path for rest in behind)
        chance *= counts[token] / went
        if chance < least:
            break
        path.append(token)
    return path


def context_of(rows: list[Text], prompts: list[int], numbers: list[int], done: bool) -> Context:
    length_B = torch.tensor([len(row) for row in rows])
    tokens_BT = torch.zeros(len(rows), int(length_B.max()) + K, dtype=torch.long)
    for row, text in enumerate(rows):
        tokens_BT[row, : len(text)] = torch.tensor(text)
    done_B = torch.full_like(length_B, done).bool()
    prompt_B, row_B = torch.tensor(prompts), torch.tensor(numbers)
    return fakes.context_of(tokens_BT, length_B, prompt_B=prompt_B, done_B=done_B, row_B=row_B)


def observation(context: Context) -> Observation:
    """What the family does not look at."""
    return Observation(context.tokens_BT, context.length_B, context.length_B, torch.zeros(1))


def decoded(drafter: Suffix, prompt: Text, output: Text, number: int) -> None:
    """As if a row had been decoded."""
    state = drafter.allocate(1, 99, K)
    for text, done in ((prompt + output[:1], False), (prompt + output, True)):
        context = context_of([text], [len(prompt)], [number], done)
        drafter.observe(state, observation(context), context)


def proposed(drafter: Suffix, rows: list[Text], numbers: list[int]) -> list[Text]:
    context = context_of(rows, [1] * len(rows), numbers, done=False)
    state = drafter.allocate(len(rows), 99, K)
    drafter.observe(state, observation(context), context)
    return drafts_of(drafter, state, context)


def drafts_of(drafter: Suffix, state: object, context: Context) -> list[Text]:
    uniforms_BK = torch.rand(len(context.length_B), K)
    proposal = drafter.propose(state, context, K, Sampling(), uniforms_BK)
    assert proposal.probs_BNU is None
    assert proposal.valid_BN is not None
    told = []
    for tokens_K, valid_K in zip(proposal.tokens_BN, proposal.valid_BN, strict=True):
        count = int(valid_K.sum())
        assert valid_K.tolist() == [j < count for j in range(K)]
        told.append(tokens_K[:count].tolist())
    return told


@pytest.mark.parametrize("longest, least", [(16, 0.0), (16, 0.4), (3, 0.2), (1, 0.0)])
@pytest.mark.parametrize("vocabulary", [2, 3, 6])
def test_the_longest_suffix_is_found(longest: int, least: float, vocabulary: int) -> None:
    drafter = Suffix(longest=longest, least=least)
    outputs = torch.randint(0, vocabulary, (4, 12)).tolist()
    for number, output in enumerate(outputs):
        decoded(drafter, [0, 1], output, number)
    rows = [
        row[: 1 + number % 20]
        for number, row in enumerate(torch.randint(0, vocabulary, (200, 20)).tolist())
    ]
    told = proposed(drafter, rows, list(range(100, 300)))
    exact = [slow(row, outputs, longest, least) for row in rows]
    assert told == exact
    assert sum(map(len, told)) > 100


def test_frequency_decides_then_what_came_last() -> None:
    drafter = Suffix(remember=False)
    assert proposed(drafter, [[7, 1, 7, 2, 7, 1, 5, 7]], [0]) == [[1, 5, 7]]
    assert proposed(drafter, [[7, 1, 1, 1, 7, 2, 2, 2, 9, 7]], [0]) == [[2, 2, 2]]
    assert proposed(drafter, [[5, 6, 4, 5, 6]], [0]) == [[4, 5, 6]]
    assert proposed(drafter, [[5, 6, 5, 6]], [0]) == [[5, 6, 5]], "what repeats goes on"


def test_a_draft_ends_where_it_is_improbable() -> None:
    text = [7, 1, 3, 7, 1, 4, 7, 2, 7]  # behind 7: 1 in two of three, then 3 or 4 in one of two
    for least, drafts in ((0.0, [1, 4, 7]), (0.33, [1, 4, 7]), (0.34, [1]), (0.7, [])):
        assert proposed(Suffix(least=least), [text], [0]) == [drafts]


def test_the_latest_places_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "LATEST", 2)
    assert proposed(Suffix(), [[7, 1, 7, 1, 7, 1, 9, 7, 2, 8, 7, 2, 6, 7]], [0]) == [[2, 6, 7]]


def test_a_match_is_as_long_as_it_says() -> None:
    index = texts.Texts()
    index.append([1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6])
    for size in range(1, 7):
        assert index.found([*range(7 - size, 7)]) == (size, [6])
        assert index.found([9, *range(7 - size, 7)]) == (size, [6])
    assert index.found([9]) == (0, [])


def test_later_rows_draft_from_earlier_outputs() -> None:
    drafter = Suffix()
    decoded(drafter, [1, 2], [5, 6, 7, 8], 0)
    assert proposed(drafter, [[9, 5, 6]], [1]) == [[7, 8]]
    assert proposed(drafter, [[9, 1]], [1]) == [[]], "a prompt is no output"
    assert proposed(drafter, [[6, 3, 6, 4, 5, 6]], [1]) == [[7, 8]], "the longer match wins"
    assert proposed(drafter, [[5, 6, 9, 5, 6]], [1]) == [[9, 5, 6]], "of two, the row's own"
    drafter.reset()
    assert proposed(drafter, [[9, 5, 6]], [1]) == [[]]
    without = Suffix(remember=False)
    decoded(without, [1, 2], [5, 6, 7, 8], 0)
    assert proposed(without, [[9, 5, 6]], [1]) == [[]]


def test_a_row_never_finds_its_own_answer() -> None:
    drafter = Suffix()
    decoded(drafter, [1, 2], [5, 6, 7, 8], 3)
    assert proposed(drafter, [[9, 5, 6]], [3]) == [[]]
    decoded(drafter, [1, 2], [5, 6, 4], 3)
    assert proposed(drafter, [[9, 5, 6]], [1]) == [[4]], "decoded again, it replaces itself"


def test_only_the_latest_outputs_are_kept() -> None:
    memory = Memory(keep=2)
    for row in (0, 1, 2, 1, 3):
        memory.remember(row, [row, row, row + 1])
    assert list(memory.places) == [1, 3]
    fresh = Memory(keep=2)
    for row in (1, 3):
        fresh.remember(row, [row, row, row + 1])
    assert [*memory.tokens.values()] == [*fresh.tokens.values()]
    assert memory.behind.keys() == fresh.behind.keys()


def test_rows_that_leave_take_their_texts_along() -> None:
    drafter, rows = Suffix(), [[1, 2, 1], [3, 4, 3], [5, 6, 5]]
    context = context_of(rows, [1, 1, 1], [0, 1, 2], done=False)
    state = drafter.allocate(3, 99, K)
    drafter.observe(state, observation(context), context)
    state.select(torch.tensor([2, 0]))
    context = context_of([rows[2] + [9], rows[0] + [2]], [1, 1], [2, 0], done=False)
    drafter.observe(state, observation(context), context)
    assert drafts_of(drafter, state, context) == [[], [1, 2, 1]]


def test_likelihood_is_one_where_the_proposal_is_right() -> None:
    """Over two calls, with prompts, padding and a row without output."""
    drafter, decoding = Suffix(), Suffix()
    decoded(drafter, [1], [2, 2, 2, 2], 0)
    all_texts = torch.randint(0, 3, (6, 22))
    length_B, prompt_B = torch.tensor([22, 9, 15, 20, 1, 3]), torch.tensor([1, 4, 9, 2, 1, 2])
    place_S, right = torch.arange(21), 0
    for rows in (slice(0, 2), slice(2, 6)):
        written_BS = place_S >= prompt_B[rows, None] - 1
        written_BS = written_BS & (place_S < length_B[rows, None] - 1)
        batch = TrainingBatch(all_texts[rows], written_BS, None, None, K)
        told_BSK = drafter.likelihood(batch, Sampling())
        for row in range(*rows.indices(6)):
            text, prompt = all_texts[row, : length_B[row]].tolist(), int(prompt_B[row])
            exact_SK = torch.zeros(21, K)
            for length in range(prompt + 1, len(text)):
                [drafts] = proposed(decoding, [text[:length]], [row])
                for j, draft in enumerate(drafts[: len(text) - length]):
                    exact_SK[length - 1 + j, j] = float(draft == text[length + j])
            assert torch.equal(told_BSK[row - rows.start], exact_SK)
            right += int(exact_SK.sum())
            if len(text) > prompt:
                decoded(decoding, text[:prompt], text[prompt:], row)
    assert right > 30
    assert list(drafter.memory.places) == [0], "the memory of decoding is another"
    drafter.reset()
    assert not drafter.replayed.places


def rounds(right_SK: torch.Tensor, prompt: int, length: int) -> list[int]:
    """Accepted drafts of every round but the last, where greedy."""
    accepted, start = [], prompt - 1
    while start + 1 + K < length - 1:
        kept = int(torch.stack([right_SK[start + 1 + j, j] for j in range(K)]).cumprod(0).sum())
        accepted.append(kept)
        start += kept + 1
    return accepted


def test_replay_is_decoding_row_by_row() -> None:
    target, drafter = random_target(eos=(11,)), Suffix()
    drafter.bind(target)
    prompts = [[1, *torch.randint(2, 24, (1 + row % 4,)).tolist()] for row in range(20)]
    loop = Speculate(target, drafter, K, Sampling())
    plain = Autoregress(target, Sampling()).generate(prompts, 50).tokens
    for turn in range(2):  # what a row itself said before never helps it
        drafter.reset()
        told = [loop.generate([prompt], 50, [row]) for row, prompt in enumerate(prompts)]
        assert [one.tokens[0] for one in told] == plain
        if turn == 0:
            first = told
        assert [one.accepted for one in told] == [one.accepted for one in first]
    again = loop.generate(prompts[-1:], 50, [19])
    assert again.accepted == told[-1].accepted
    seen_so_far = 0
    for prompt, one in zip(prompts, told, strict=True):
        text = prompt + one.tokens[0]
        written_S = torch.arange(len(text) - 1) >= len(prompt) - 1
        batch = TrainingBatch(torch.tensor([text]), written_S[None], None, None, K)
        accepted = rounds(drafter.likelihood(batch, Sampling())[0], len(prompt), len(text))
        assert accepted == one.accepted[0][: len(accepted)]
        seen_so_far += sum(accepted)
    drafter.reset()
    alone = Speculate(target, Suffix(remember=False), K, Sampling()).generate(prompts, 50)
    together = sum(sum(one.accepted[0]) / len(one.accepted[0]) for one in told if one.accepted[0])
    assert together > sum(sum(row) / len(row) for row in alone.accepted if row)
    assert seen_so_far > 50


def test_compiled_rounds_say_what_eager_ones_say() -> None:
    target, prompts = random_target(eos=(11,)), [[1, 5, 6], [1, 9]]
    told = []
    for compiled in (False, True):
        drafter = Suffix()
        drafter.bind(target)
        loop = Speculate(target, drafter, K, Sampling(), compiled=compiled)
        told.append([loop.generate(prompts, 20), loop.generate(prompts, 20, [2, 3])])
    for eager, other in zip(*told, strict=True):
        assert eager.tokens == other.tokens
        assert eager.accepted == other.accepted


def test_bad_sizes_are_told() -> None:
    with pytest.raises(UserError, match="longest=0"):
        Suffix(longest=0)
    with pytest.raises(UserError, match=r"least=1\.5"):
        Suffix(least=1.5)
