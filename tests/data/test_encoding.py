"""Prompt and response become a row that fits; the mask tells who wrote."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fakes import random_target

from litdraft.data.choices import HELD_OUT, Choices, in_turn
from litdraft.data.continuations import Writer, key_of
from litdraft.data.documents import Documents
from litdraft.data.encoding import Cuts, Encoder, split_sentences
from litdraft.data.examples import Example, Piece, Split
from litdraft.data.kept import FORMAT, Kept, kept, tokenizer_mark
from litdraft.data.layouts import prompt_tokens
from litdraft.data.preview import decoded
from litdraft.data.prompted import Prompted
from litdraft.data.rows import Row
from litdraft.data.source import Materials
from litdraft.data.target_generated import TargetGenerated
from litdraft.data.text import Text
from litdraft.decoding.shapes import room_behind
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer
from litdraft.protocols import Sides
from litdraft.sampling import Sampling

SIDES = Sides(start=3, source=10)


class Letters(Tokenizer):
    """One id a letter; 1 begins a text, 2 ends it."""

    size, bos = 128, 1
    eos: int | None = 2

    def piece(self, token: int) -> str:
        return chr(token)

    def _encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text]

    def _decode(self, ids: list[int]) -> str:
        return "".join(map(chr, ids))


class Merging(Letters):
    """Spells "nx" as one token, across the border of prompt and response."""

    def _encode(self, text: str) -> list[int]:
        return [ord(letter) for letter in text.replace("nx", "#")]


class Some:
    """`count` examples of a prompt of `given` letters and a response of `written`."""

    documents = False
    apart: frozenset[Split] = frozenset()

    def __init__(self, count: int = 30, given: int = 4, written: int = 3) -> None:
        self.count, self.given, self.written = count, given, written

    def facts(self) -> dict[str, Any]:
        return {"count": self.count, "sizes": [self.given, self.written]}

    def examples(self, split: Split, tokenizer: Tokenizer) -> list[Example]:
        return [
            Example(
                (
                    Piece(f"{n:0{self.given}d}" if self.given else ""),
                    Piece("x" * self.written, True),
                )
            )
            for n in range(self.count)
        ]


def example(prompt: str, response: str) -> Example:
    return Example((Piece(prompt), Piece(response, written=True)), place="here, line 1")


def text_of(tokens: list[int]) -> str:
    return "".join({1: "<", 2: ">", 3: "|"}.get(token, chr(token)) for token in tokens)


def test_the_mask_covers_the_response_and_its_end() -> None:
    row = Encoder(Letters(), 20).row(example("given", "own"), Cuts())
    assert row is not None
    assert text_of(row.tokens) == "<givenown>"
    assert (row.prompt, row.written) == (6, [6, 10])
    merged = Encoder(Merging(), 20).row(example("given", "x"), Cuts())
    assert merged is not None
    assert text_of(merged.tokens) == "<givenx>", "a prompt is spelled as it will be when decoding"


@pytest.mark.parametrize(
    ("truncate", "room", "expected", "cuts"),
    [("right", 12, "<0123456789a", (1, 1, 1)), ("left", 12, "<789abcdown>", (1, 0, 0))],
)
def test_what_a_long_prompt_loses(
    truncate: str, room: int, expected: str, cuts: tuple[int, int, int]
) -> None:
    encoder, counted = Encoder(Letters(), room, truncate), Cuts()
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
    with pytest.raises(UserError, match="with room for 9 behind it"):
        encoder.prompt(example("0123", "own"), 9, Cuts())
    row = encoder.row(example("0123", "a response"), cuts)
    assert row is not None
    assert text_of(row.tokens) == "<0123a respo"
    assert (cuts.prompts, cuts.responses) == (0, 1)


def test_a_long_piece_loses_sentences_from_its_end() -> None:
    article = 'One is. Two was! Three said "no." Four?'
    assert split_sentences(article) == ["One is. ", "Two was! ", 'Three said "no." ', "Four?"]
    assert "".join(split_sentences(article)) == article
    pieces = (Piece("S:"), Piece(article, long=True), Piece("|"), Piece("end", written=True))
    for length, expected in (
        (60, article),
        (42, 'One is. Two was! Three said "no."'),
        (24, "One is. Two was!"),
    ):
        row = Encoder(Letters(), length).row(Example(pieces), Cuts())
        assert row is not None
        assert text_of(row.tokens) == f"<S:{expected}|end>"
    with pytest.raises(UserError, match="do not fit"):
        Encoder(Letters(), 9).row(Example(pieces, place="here"), Cuts())


def test_splits_do_not_share_rows_and_are_the_same_again(tmp_path: Path) -> None:
    materials = Materials(Letters(), tmp_path)
    source = Prompted(Some(), Choices(held_out_rows=4, samples=20))
    splits = [source.training(materials), *(source.held_out(materials, s, 99, 0) for s in HELD_OUT)]
    assert [len(rows) for rows in splits] == [20, 3, 3], "a tenth at most is held out"
    rows = [tuple(row) for some in splits for row in some.lists()]
    assert len(set(rows)) == len(rows) == 26
    written = sorted(tmp_path.rglob("*.arrow"))
    times = [path.stat().st_mtime_ns for path in written]
    again = Prompted(Some(), Choices(held_out_rows=4, samples=20)).training(materials)
    assert again.lists() == splits[0].lists()
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*.arrow"))] == times
    assert in_turn(["a", "a", "a", "b", "c", "b"]) == [0, 3, 4, 1, 5, 2]


def test_what_is_held_out_is_nowhere_else_either(tmp_path: Path) -> None:
    """The same prompt with another response is another row, and still the same prompt."""
    choices, count = Choices(held_out_rows=6), 60
    dealt = {
        split: choices.dealt(count, split, frozenset(), lambda place: place // 3)
        for split in ("training", *HELD_OUT)
    }
    prompts = {split: {place // 3 for place in places} for split, places in dealt.items()}
    assert all(prompts.values())
    assert not prompts["validation"] & prompts["test"]
    assert not prompts["training"] & (prompts["validation"] | prompts["test"])
    apart = frozenset({"test"})
    assert len(choices.dealt(count, "test", apart, lambda place: 0)) == count  # type: ignore[arg-type]


def test_room_that_is_not_there_is_told() -> None:
    with pytest.raises(UserError, match="20 tokens are to be written, but 20 is all"):
        Encoder(Letters(), 20, "left").prompt(example("0123", ""), 20, Cuts())
    with pytest.raises(UserError, match=r"data.response_tokens=128 was given, but data.length=64"):
        Choices(length=64, responses="target")


def test_masks_that_cover_nothing_or_everything_are_errors(tmp_path: Path) -> None:
    materials = Materials(Letters(), tmp_path)
    whole = Prompted(Some(), Choices(loss="all")).training(materials)
    assert whole.trained() == whole.tokens() - len(whole)
    with pytest.raises(UserError, match="every token would be trained on"):
        Prompted(Some(given=0), Choices()).training(materials)
    choices = Choices(length=5, opening=1, truncate="right")
    with pytest.raises(UserError, match="no token would be trained on"):
        Prompted(Some(given=9), choices).training(materials)


def test_the_target_writes_the_responses_anew(tmp_path: Path) -> None:
    target = random_target(vocabulary=128)
    writer = Writer(target, tmp_path, seed=0)
    materials = Materials(Letters(), tmp_path, target.spec, writer)
    choices = Choices(responses="target", response_tokens=6, temperatures=(1.0, 0.0), samples=20)
    rows = Prompted(Some(), choices).training(materials)
    own = Prompted(Some(), Choices(samples=20)).training(materials)
    prompts = {tuple(prompt) for prompt in own.prompts()}
    assert {tuple(prompt) for prompt in rows.prompts()} == prompts
    assert all(len(row) <= len(p) + 6 for row, p in zip(rows.lists(), rows.prompts(), strict=True))
    assert rows.trained() == rows.tokens() - sum(map(len, rows.prompts()))
    everything = Choices(
        responses="target", response_tokens=6, samples=20, loss="all", temperatures=(1.0, 0.0)
    )
    same = Prompted(Some(), everything).training(materials)
    assert same.lists() == rows.lists()
    assert same.trained() == same.tokens() - len(same)
    with pytest.raises(UserError, match=r"data.responses=target needs a target that writes"):
        Prompted(Some(), choices).training(Materials(Letters(), tmp_path))


def test_a_prompt_leaves_room_for_a_round_behind_the_last_token() -> None:
    target = random_target(vocabulary=128, context=64)
    tokens = Encoder(Letters(), 64, "left").prompt(
        example("0" * 99, ""), room_behind(20, 4), Cuts()
    )
    assert len(tokens) == 64 - 25
    loop = Speculate(target, Lookup(), 4, Sampling())
    assert len(loop.generate([tokens], 20).tokens[0]) == 20


def test_a_preview_shows_who_wrote_what() -> None:
    encoded = Encoder(Letters(), 20).row(example("given", " own"), Cuts())
    assert encoded is not None
    trained = torch.zeros(len(encoded.tokens), dtype=torch.bool)
    trained[encoded.written[0] :] = True
    shown = decoded(Row(torch.tensor(encoded.tokens), encoded.prompt, trained), Letters())
    assert shown.plain == "given⟦ own⏎end⟧"
    assert [str(span.style) for span in shown.spans] == ["dim", "bold green"]


class Endless(Letters):
    """Has no token that ends a text."""

    eos = None


def test_an_encoder_decoders_row_is_a_source_the_start_and_the_response() -> None:
    row = Encoder(Letters(), 20, sides=SIDES).row(example("given", "\n own"), Cuts())
    assert row is not None
    assert text_of(row.tokens) == "given>|own>"
    assert (row.prompt, row.written) == (7, [7, 11])
    assert Letters().decode(row.tokens[:5]) == "given"
    assert Letters().decode(row.tokens[row.prompt :]) == "own"
    merged = Encoder(Merging(), 20, sides=SIDES).row(example("given", "x"), Cuts())
    assert merged is not None
    assert text_of(merged.tokens) == "given>|x>", "no token reaches from one side into the other"
    endless = Encoder(Endless(), 20, sides=SIDES).row(example("given", "own"), Cuts())
    assert endless is not None
    assert text_of(endless.tokens) == "given|own"


def test_earlier_turns_are_part_of_the_source() -> None:
    turns = (Piece("A "), Piece("b ", True), Piece("C "), Piece(" d", True))
    row = Encoder(Letters(), 20, sides=SIDES).row(Example(turns), Cuts())
    assert row is not None
    assert (text_of(row.tokens), row.written) == ("A b C >|d>", [8, 10])
    end = chr(2)  # as a template would spell it
    spelled = (Piece(f"A{end}"), Piece(f" d{end}", True))
    encoder = Encoder(Letters(), 20, sides=SIDES)
    rendered = encoder.row(Example(spelled, rendered=True), Cuts())
    assert rendered is not None
    assert text_of(rendered.tokens) == "A>|d>", "its own end is not doubled"
    asked = Example((*spelled, Piece("E")), rendered=True)
    assert text_of(encoder.prompt(asked, 3, Cuts())) == "A> d>E>|"


@pytest.mark.parametrize(
    ("truncate", "length", "row", "prompt", "cuts"),
    [
        ("left", 40, "56789abcd>|own>", "56789abcd>|", (2, 0, 0)),
        ("right", 40, "012345678>|own>", "012345678>|", (2, 0, 0)),
        ("left", 12, "89abcd>|own>", "9abcd>|", (2, 0, 0)),
        ("right", 12, "012345>|own>", "01234>|", (2, 0, 0)),
        ("right", 8, "01>|own>", "0>|", (2, 0, 0)),
        ("right", 6, "0>|own", None, (1, 1, 0)),
    ],
)
def test_what_a_long_source_loses(
    truncate: str, length: int, row: str, prompt: str | None, cuts: tuple[int, int, int]
) -> None:
    """Its end token and the start stay, whichever side goes, and so does the response."""
    encoder, counted = Encoder(Letters(), length, truncate, SIDES), Cuts()
    some = example("0123456789abcd", "own")
    found = encoder.row(some, counted)
    assert found is not None
    assert text_of(found.tokens) == row
    assert found.written == [found.prompt, len(found.tokens)]
    assert text_of([found.tokens[found.prompt - 1]]) == "|"
    if prompt is None:
        with pytest.raises(UserError, match="5 tokens are to be written, but 6 is all"):
            encoder.prompt(some, 5, counted)
    else:
        assert text_of(encoder.prompt(some, 5, counted)) == prompt
    assert (counted.prompts, counted.responses, counted.dropped) == cuts


def test_a_source_that_does_not_fit_is_an_error_by_default() -> None:
    long = example("0123456789abcd", "own")
    told = "here, line 1: its 15 source tokens do not fit into the encoder's 10: give data.truncate"
    for refused in (
        lambda: Encoder(Letters(), 40, sides=SIDES).row(long, Cuts()),
        lambda: Encoder(Letters(), 40, sides=SIDES).prompt(long, 5, Cuts()),
    ):
        with pytest.raises(UserError, match=told):
            refused()
    roomy = Sides(3, 30)
    with pytest.raises(
        UserError, match=r"its 16 tokens do not fit into 14: .* another data.length"
    ):
        Encoder(Letters(), 14, sides=roomy).row(long, Cuts())
    with pytest.raises(UserError, match="its 16 tokens do not fit into 20 with room for 5 behind"):
        Encoder(Letters(), 20, sides=roomy).prompt(long, 5, Cuts())
    cuts = Cuts()
    row = Encoder(Letters(), 20, sides=roomy).row(example("0123", "x" * 30), cuts)
    assert row is not None
    assert text_of(row.tokens) == "0123>|" + 14 * "x"
    assert (cuts.prompts, cuts.responses) == (0, 1)


def test_a_long_source_loses_sentences_until_the_encoder_can_read_it() -> None:
    pieces = (
        Piece("S:"),
        Piece("One is. Two was! Three.", long=True),
        Piece("#"),
        Piece("e", True),
    )
    for source, expected in (
        (27, "One is. Two was! Three."),
        (26, "One is. Two was!"),
        (12, "One is."),
    ):
        for length in (60, source + 4):
            cuts = Cuts()
            encoder = Encoder(Letters(), length, sides=Sides(3, source))
            row = encoder.row(Example(pieces), cuts)
            assert row is not None
            assert text_of(row.tokens) == f"S:{expected}#>|e>"
            assert text_of(encoder.prompt(Example(pieces), 2, cuts)) == f"S:{expected}#>|"
            assert cuts == Cuts()


@pytest.mark.parametrize("truncate", ["left", "right"])
def test_every_row_of_an_encoder_decoder_fits(truncate: str) -> None:
    for _ in range(400):
        given, written = "a" * random.randint(0, 25), "b" * random.randint(1, 25)
        length, room = random.randint(6, 40), random.randint(0, 3)
        encoder = Encoder(Letters(), length, truncate, SIDES)
        prompt = encoder.prompt(example(given, written), room, Cuts())
        assert text_of(prompt) == "a" * min(len(given), 9, length - room - 2) + ">|"
        row = encoder.row(example(given, written), Cuts())
        assert row is not None
        source, _, response = text_of(row.tokens).partition(">|")
        assert given.startswith(source)
        assert len(source) < SIDES.source
        assert f"{written}>".startswith(response)
        assert len(row.tokens) == min(len(source) + 2 + len(written) + 1, length)
        if len(source) < min(len(given), 9):
            assert row.prompt >= length // 2, "at least half of what fits stays the source's"


def test_a_text_alone_is_the_prompt_that_its_row_would_have() -> None:
    for sides in (None, SIDES):
        tokens = Encoder(Letters(), 30, sides=sides).prompt(example("given", "own"), 5, Cuts())
        assert prompt_tokens(Letters(), sides, "given") == tokens
    with pytest.raises(
        UserError, match="11 source tokens do not fit into the encoder's 10: give a"
    ):
        prompt_tokens(Letters(), SIDES, "0123456789")
    assert len(prompt_tokens(Letters(), None, "0" * 99)) == 100


def test_rows_of_another_layout_are_kept_apart(tmp_path: Path) -> None:
    causal = Materials(Letters(), tmp_path)
    other = Materials(Letters(), tmp_path, sides=SIDES)
    source = Prompted(Some(), Choices())
    assert text_of(source.training(causal).lists()[0])[0] == "<"
    row = source.training(other)[0]
    assert text_of(row.tokens_T.tolist())[4:] == ">|xxx>"
    assert (row.prompt, row.trained_T.nonzero()[:, 0].tolist()) == (6, [6, 7, 8, 9])
    (prompt,) = source.held_out(other, "test", 1, 5).prompts()
    assert text_of(prompt)[4:] == ">|"

    kept(causal, "facts", lambda: iter([Kept([1], 1, [], "")]))
    told = {"format": FORMAT, "text": "facts", "tokenizer": tokenizer_mark(Letters())}
    assert (tmp_path / "rows" / f"{key_of(told)}.arrow").exists(), "causal rows keep their keys"


def test_what_has_no_source_is_refused(tmp_path: Path) -> None:
    target = random_target(vocabulary=128)
    alone = Materials(Letters(), tmp_path, sides=SIDES)
    beside = Materials(Letters(), tmp_path, target.spec, Writer(target, tmp_path, 0), sides=SIDES)
    whole = Documents(Text(str(tmp_path / "nowhere")), Choices())
    told = "data=text continues texts, but {} reads a source: use data=restoration, wmt14"
    with pytest.raises(UserError, match=told.format("the drafter")):
        whole.training(alone)
    with pytest.raises(UserError, match=told.format("random")):
        whole.held_out(beside, "test", 2, 5)
    for refused in (
        lambda: TargetGenerated().training(beside),
        lambda: TargetGenerated().held_out(beside, "test", 2, 5),
    ):
        with pytest.raises(UserError, match="data=target_generated continues texts, but random"):
            refused()
    with pytest.raises(UserError, match=r"data\.loss=all was given, but random reads a source"):
        Prompted(Some(), Choices(loss="all")).training(beside)
