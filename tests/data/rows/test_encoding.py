"""Prompt and response become a row that fits; the loss mask covers the response."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.data.letters import Letters, Merging, Some, example, text_of
from tests.fakes import random_target

from litdraft.data.continuations import Writer
from litdraft.data.rows.encoding import Cuts, Encoder, split_sentences
from litdraft.data.rows.preview import decoded
from litdraft.data.rows.rows import Row
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Example, Segment
from litdraft.data.sources.options import HELD_OUT, TextOptions, round_robin
from litdraft.data.sources.prompted import Prompted
from litdraft.decoding.batching import decode_capacity
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.errors import UserError
from litdraft.sampling import Sampling


def test_the_mask_covers_the_response_and_its_end() -> None:
    row = Encoder(Letters(), 20).row(example("given", "own"), Cuts())
    assert row is not None
    assert text_of(row.tokens) == "<givenown>"
    assert (row.prompt, row.spans) == (6, [6, 10])
    merged = Encoder(Merging(), 20).row(example("given", "x"), Cuts())
    assert merged is not None
    assert text_of(merged.tokens) == "<givenx>", "a prompt is spelled as it will be when decoding"


@pytest.mark.parametrize(
    ("truncate", "capacity", "expected", "cuts"),
    [("right", 12, "<0123456789a", (1, 1, 1)), ("left", 12, "<789abcdown>", (1, 0, 0))],
)
def test_what_a_long_prompt_loses(
    truncate: str, capacity: int, expected: str, cuts: tuple[int, int, int]
) -> None:
    encoder, counted = Encoder(Letters(), capacity, truncate), Cuts()
    row = encoder.row(example("0123456789abcd", "own"), counted)
    assert (counted.prompts, counted.responses, counted.dropped) == cuts
    assert (row is None) == (truncate == "right"), "nothing of the response is left"
    assert row is None or text_of(row.tokens) == expected
    prompt = encoder.prompt(example("0123456789abcd", "own"), 4, counted)
    assert text_of(prompt) == {"left": "<789abcd", "right": "<0123456"}[truncate]


def test_a_long_prompt_is_an_error_by_default_and_a_long_response_is_not() -> None:
    encoder, cuts = Encoder(Letters(), 12), Cuts()
    with pytest.raises(
        UserError, match="here, line 1: its 15 tokens do not fit into 12: give data"
    ):
        encoder.row(example("0123456789abcd", "own"), Cuts())
    with pytest.raises(UserError, match="with 9 tokens after it"):
        encoder.prompt(example("0123", "own"), 9, Cuts())
    row = encoder.row(example("0123", "a response"), cuts)
    assert row is not None
    assert text_of(row.tokens) == "<0123a respo"
    assert (cuts.prompts, cuts.responses) == (0, 1)


def test_a_long_segment_loses_sentences_from_its_end() -> None:
    article = 'One is. Two was! Three said "no." Four?'
    assert split_sentences(article) == ["One is. ", "Two was! ", 'Three said "no." ', "Four?"]
    assert "".join(split_sentences(article)) == article
    segments = (
        Segment("S:"),
        Segment(article, long=True),
        Segment("|"),
        Segment("end", response=True),
    )
    for length, expected in (
        (60, article),
        (42, 'One is. Two was! Three said "no."'),
        (24, "One is. Two was!"),
    ):
        row = Encoder(Letters(), length).row(Example(segments), Cuts())
        assert row is not None
        assert text_of(row.tokens) == f"<S:{expected}|end>"
    with pytest.raises(UserError, match="do not fit"):
        Encoder(Letters(), 9).row(Example(segments, location="here"), Cuts())


def test_splits_do_not_share_rows_and_are_the_same_again(tmp_path: Path) -> None:
    materials = Materials(Letters(), tmp_path)
    source = Prompted(Some(), TextOptions(held_out_rows=4, samples=20))
    splits = [source.training(materials), *(source.held_out(materials, s, 99, 0) for s in HELD_OUT)]
    assert [len(rows) for rows in splits] == [20, 3, 3], "a tenth at most is held out"
    rows = [tuple(row) for some in splits for row in some.token_lists()]
    assert len(set(rows)) == len(rows) == 26
    written = sorted(tmp_path.rglob("*.arrow"))
    times = [path.stat().st_mtime_ns for path in written]
    again = Prompted(Some(), TextOptions(held_out_rows=4, samples=20)).training(materials)
    assert again.token_lists() == splits[0].token_lists()
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*.arrow"))] == times
    assert round_robin(["a", "a", "a", "b", "c", "b"]) == [0, 3, 4, 1, 5, 2]


def test_what_is_held_out_is_in_no_other_split(tmp_path: Path) -> None:
    """The same prompt with another response is another row, and still the same prompt."""
    options, count = TextOptions(held_out_rows=6), 60
    dealt = {
        split: options.split_indices(count, split, frozenset(), lambda place: place // 3)
        for split in ("training", *HELD_OUT)
    }
    prompts = {split: {place // 3 for place in places} for split, places in dealt.items()}
    assert all(prompts.values())
    assert not prompts["validation"] & prompts["test"]
    assert not prompts["training"] & (prompts["validation"] | prompts["test"])
    apart = frozenset({"test"})
    assert len(options.split_indices(count, "test", apart, lambda place: 0)) == count  # type: ignore[arg-type]


def test_too_little_space_is_reported() -> None:
    with pytest.raises(
        UserError, match="20 tokens are to be generated, but the whole row holds 20"
    ):
        Encoder(Letters(), 20, "left").prompt(example("0123", ""), 20, Cuts())
    with pytest.raises(
        UserError, match=r"data.response_tokens=128 was given, but a prompt .* data\.length=64"
    ):
        TextOptions(length=64, responses="target")


def test_masks_that_cover_nothing_or_everything_are_errors(tmp_path: Path) -> None:
    materials = Materials(Letters(), tmp_path)
    whole = Prompted(Some(), TextOptions(loss="all")).training(materials)
    assert whole.trained_count() == whole.token_count() - len(whole)
    with pytest.raises(UserError, match="every token would be trained on"):
        Prompted(Some(given=0), TextOptions()).training(materials)
    options = TextOptions(length=5, opening=1, truncate="right")
    with pytest.raises(UserError, match="no token would be trained on"):
        Prompted(Some(given=9), options).training(materials)


def test_the_target_writes_the_responses_anew(tmp_path: Path) -> None:
    target = random_target(vocabulary=128)
    writer = Writer(target, tmp_path, seed=0)
    materials = Materials(Letters(), tmp_path, target.spec, writer)
    options = TextOptions(
        responses="target", response_tokens=6, temperatures=(1.0, 0.0), samples=20
    )
    rows = Prompted(Some(), options).training(materials)
    own = Prompted(Some(), TextOptions(samples=20)).training(materials)
    prompts = {tuple(prompt) for prompt in own.prompts()}
    assert {tuple(prompt) for prompt in rows.prompts()} == prompts
    assert all(
        len(row) <= len(p) + 6 for row, p in zip(rows.token_lists(), rows.prompts(), strict=True)
    )
    assert rows.trained_count() == rows.token_count() - sum(map(len, rows.prompts()))
    everything = TextOptions(
        responses="target", response_tokens=6, samples=20, loss="all", temperatures=(1.0, 0.0)
    )
    same = Prompted(Some(), everything).training(materials)
    assert same.token_lists() == rows.token_lists()
    assert same.trained_count() == same.token_count() - len(same)
    with pytest.raises(UserError, match=r"data.responses=target needs a target to generate text"):
        Prompted(Some(), options).training(Materials(Letters(), tmp_path))


def test_a_prompt_leaves_space_for_a_round_after_the_last_token() -> None:
    target = random_target(vocabulary=128, context=64)
    tokens = Encoder(Letters(), 64, "left").prompt(
        example("0" * 99, ""), decode_capacity(20, 4), Cuts()
    )
    assert len(tokens) == 64 - 25
    loop = Speculate(target, Lookup(), 4, Sampling())
    assert len(loop.generate([tokens], 20).tokens[0]) == 20


def test_a_preview_shows_who_wrote_what() -> None:
    encoded = Encoder(Letters(), 20).row(example("given", " own"), Cuts())
    assert encoded is not None
    trained = torch.zeros(len(encoded.tokens), dtype=torch.bool)
    trained[encoded.spans[0] :] = True
    shown = decoded(Row(torch.tensor(encoded.tokens), encoded.prompt, trained), Letters())
    assert shown.plain == "given⟦ own⏎end⟧"
    assert [str(span.style) for span in shown.spans] == ["dim", "bold green"]
