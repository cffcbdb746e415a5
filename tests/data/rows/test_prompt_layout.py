"""How a row is laid out for an encoder-decoder: source, start token, response."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from tests.data.letters import Endless, Letters, Merging, Some, example, text_of
from tests.fakes import random_target

from litdraft.data.continuations import Writer, cache_key
from litdraft.data.rows.encoding import Cuts, Encoder
from litdraft.data.rows.prompt_layout import prompt_tokens
from litdraft.data.rows.row_cache import FORMAT, EncodedRow, cached_rows, tokenizer_fingerprint
from litdraft.data.sources.base import Materials
from litdraft.data.sources.documents import Documents
from litdraft.data.sources.examples import Example, Segment
from litdraft.data.sources.options import TextOptions
from litdraft.data.sources.prompted import Prompted
from litdraft.data.sources.target_generated import TargetGenerated
from litdraft.data.sources.text import Text
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout

SIDES = EncoderDecoderLayout(start=3, limit=10)


def test_an_encoder_decoders_row_is_a_source_the_start_and_the_response() -> None:
    row = Encoder(Letters(), 20, encoder_decoder=SIDES).row(example("given", "\n own"), Cuts())
    assert row is not None
    assert text_of(row.tokens) == "given>|own>"
    assert (row.prompt, row.spans) == (7, [7, 11])
    assert Letters().decode(row.tokens[:5]) == "given"
    assert Letters().decode(row.tokens[row.prompt :]) == "own"
    merged = Encoder(Merging(), 20, encoder_decoder=SIDES).row(example("given", "x"), Cuts())
    assert merged is not None
    assert text_of(merged.tokens) == "given>|x>", "no token reaches from one side into the other"
    endless = Encoder(Endless(), 20, encoder_decoder=SIDES).row(example("given", "own"), Cuts())
    assert endless is not None
    assert text_of(endless.tokens) == "given|own"


def test_earlier_turns_are_part_of_the_source() -> None:
    turns = (Segment("A "), Segment("b ", True), Segment("C "), Segment(" d", True))
    row = Encoder(Letters(), 20, encoder_decoder=SIDES).row(Example(turns), Cuts())
    assert row is not None
    assert (text_of(row.tokens), row.spans) == ("A b C >|d>", [8, 10])
    end = chr(2)  # as a template would spell it
    spelled = (Segment(f"A{end}"), Segment(f" d{end}", True))
    encoder = Encoder(Letters(), 20, encoder_decoder=SIDES)
    rendered = encoder.row(Example(spelled, rendered=True), Cuts())
    assert rendered is not None
    assert text_of(rendered.tokens) == "A>|d>", "its own end is not doubled"
    asked = Example((*spelled, Segment("E")), rendered=True)
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
    result = encoder.row(some, counted)
    assert result is not None
    assert text_of(result.tokens) == row
    assert result.spans == [result.prompt, len(result.tokens)]
    assert text_of([result.tokens[result.prompt - 1]]) == "|"
    if prompt is None:
        with pytest.raises(
            UserError, match="5 tokens are to be generated, but the whole row holds 6"
        ):
            encoder.prompt(some, 5, counted)
    else:
        assert text_of(encoder.prompt(some, 5, counted)) == prompt
    assert (counted.prompts, counted.responses, counted.dropped) == cuts


def test_a_source_that_does_not_fit_is_an_error_by_default() -> None:
    long = example("0123456789abcd", "own")
    message = (
        "here, line 1: its 15 source tokens do not fit into the encoder's 10: give data.truncate"
    )
    for refused in (
        lambda: Encoder(Letters(), 40, encoder_decoder=SIDES).row(long, Cuts()),
        lambda: Encoder(Letters(), 40, encoder_decoder=SIDES).prompt(long, 5, Cuts()),
    ):
        with pytest.raises(UserError, match=message):
            refused()
    round_up = EncoderDecoderLayout(3, 30)
    with pytest.raises(UserError, match=r"its 16 tokens do not fit into 14: .* another"):
        Encoder(Letters(), 14, encoder_decoder=round_up).row(long, Cuts())
    with pytest.raises(UserError, match="its 16 tokens do not fit into 20 with 5 tokens after"):
        Encoder(Letters(), 20, encoder_decoder=round_up).prompt(long, 5, Cuts())
    cuts = Cuts()
    row = Encoder(Letters(), 20, encoder_decoder=round_up).row(example("0123", "x" * 30), cuts)
    assert row is not None
    assert text_of(row.tokens) == "0123>|" + 14 * "x"
    assert (cuts.prompts, cuts.responses) == (0, 1)


def test_a_long_source_loses_sentences_until_the_encoder_can_read_it() -> None:
    segments = (
        Segment("S:"),
        Segment("One is. Two was! Three.", long=True),
        Segment("#"),
        Segment("e", True),
    )
    for source, expected in (
        (27, "One is. Two was! Three."),
        (26, "One is. Two was!"),
        (12, "One is."),
    ):
        for length in (60, source + 4):
            cuts = Cuts()
            encoder = Encoder(Letters(), length, encoder_decoder=EncoderDecoderLayout(3, source))
            row = encoder.row(Example(segments), cuts)
            assert row is not None
            assert text_of(row.tokens) == f"S:{expected}#>|e>"
            assert text_of(encoder.prompt(Example(segments), 2, cuts)) == f"S:{expected}#>|"
            assert cuts == Cuts()


@pytest.mark.parametrize("truncate", ["left", "right"])
def test_every_row_of_an_encoder_decoder_fits(truncate: str) -> None:
    for _ in range(400):
        given, written = "a" * random.randint(0, 25), "b" * random.randint(1, 25)
        length, capacity = random.randint(6, 40), random.randint(0, 3)
        encoder = Encoder(Letters(), length, truncate, SIDES)
        prompt = encoder.prompt(example(given, written), capacity, Cuts())
        assert text_of(prompt) == "a" * min(len(given), 9, length - capacity - 2) + ">|"
        row = encoder.row(example(given, written), Cuts())
        assert row is not None
        source, _, response = text_of(row.tokens).partition(">|")
        assert given.startswith(source)
        assert len(source) < SIDES.limit
        assert f"{written}>".startswith(response)
        assert len(row.tokens) == min(len(source) + 2 + len(written) + 1, length)
        if len(source) < min(len(given), 9):
            assert row.prompt >= length // 2, "at least half of what fits stays the source's"


def test_a_text_alone_is_the_prompt_that_its_row_would_have() -> None:
    for encoder_decoder in (None, SIDES):
        tokens = Encoder(Letters(), 30, encoder_decoder=encoder_decoder).prompt(
            example("given", "own"), 5, Cuts()
        )
        assert prompt_tokens(Letters(), encoder_decoder, "given") == tokens
    with pytest.raises(
        UserError, match="11 source tokens do not fit into the encoder's 10: give a"
    ):
        prompt_tokens(Letters(), SIDES, "0123456789")
    assert len(prompt_tokens(Letters(), None, "0" * 99)) == 100


def test_rows_of_another_layout_are_cached_separately(tmp_path: Path) -> None:
    causal = Materials(Letters(), tmp_path)
    other = Materials(Letters(), tmp_path, encoder_decoder=SIDES)
    source = Prompted(Some(), TextOptions())
    assert text_of(source.training(causal).token_lists()[0])[0] == "<"
    row = source.training(other)[0]
    assert text_of(row.tokens_T.tolist())[4:] == ">|xxx>"
    assert (row.prompt, row.trained_T.nonzero()[:, 0].tolist()) == (6, [6, 7, 8, 9])
    (prompt,) = source.held_out(other, "test", 1, 5).prompts()
    assert text_of(prompt)[4:] == ">|"

    cached_rows(causal, "facts", lambda: iter([EncodedRow([1], 1, [], "")]))
    message = {"format": FORMAT, "text": "facts", "tokenizer": tokenizer_fingerprint(Letters())}
    assert (tmp_path / "rows" / f"{cache_key(message)}.arrow").exists(), (
        "causal rows keep their keys"
    )


def test_what_has_no_source_is_refused(tmp_path: Path) -> None:
    target = random_target(vocabulary=128)
    alone = Materials(Letters(), tmp_path, encoder_decoder=SIDES)
    beside = Materials(
        Letters(), tmp_path, target.spec, Writer(target, tmp_path, 0), encoder_decoder=SIDES
    )
    whole = Documents(Text(str(tmp_path / "nowhere")), TextOptions())
    message = "data=text has texts to continue, but {} is an encoder-decoder and needs a source"
    with pytest.raises(UserError, match=message.format("the drafter")):
        whole.training(alone)
    with pytest.raises(UserError, match=message.format("random")):
        whole.held_out(beside, "test", 2, 5)
    for refused in (
        lambda: TargetGenerated().training(beside),
        lambda: TargetGenerated().held_out(beside, "test", 2, 5),
    ):
        with pytest.raises(
            UserError, match="data=target_generated has texts to continue, but random"
        ):
            refused()
    with pytest.raises(
        UserError, match=r"data\.loss=all was given, but random is an encoder-decoder"
    ):
        Prompted(Some(), TextOptions(loss="all")).training(beside)
