"""Words in lower case, and the sentences that they were."""

from __future__ import annotations

import re
from pathlib import Path
from random import Random
from typing import Any

import pytest
from tests.data.letters import Letters, text_of

from litdraft.data.readers.sentences import lower_words, runs, sentences
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Split
from litdraft.data.sources.options import HELD_OUT, TextOptions
from litdraft.data.sources.prompted import Prompted
from litdraft.data.sources.restoration import Restoration
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout

SPLITS: tuple[Split, ...] = ("training", *HELD_OUT)


def shelf(path: Path) -> Path:
    """Three books, one with a sentence of another."""
    for name in ("moon", "sun", "star"):
        own = "\n\n".join(f"The {name} rose {n} times. Then it set, of course." for n in "2345")
        text = f"CHAPTER I. OF THE SKY\n\n{own}\n\nEvery book has this sentence, it seems.\n"
        (path / f"{name}.txt").write_text(text, encoding="utf-8")
    return path


def alone(paragraph: str, least: int = 1, most: int = 99) -> list[str]:
    """Runs of a paragraph, as long as they can be."""

    class Longest(Random):
        def randint(self, a: int, b: int) -> int:
            return b

    return list(runs(paragraph, least, most, Longest()))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("“Don’t,” said Mr. Old-Face; “I’m at 's.”", "don't said mr old-face i'm at s"),
        ("It was—alas!—the boys' own.", "it was alas the boys own"),
        ("'Tis  1,000   Élan", "tis 1 000 élan"),
    ],
)
def test_a_prompt_has_only_words(text: str, words: str) -> None:
    (sentence,) = sentences(text)
    assert lower_words(sentence.text) == words


def test_sentences_end_where_they_do() -> None:
    text = (
        "Mr. and Mrs. J. Hill came to St. Ives. “What!” cried he.  “Is it  so? _Never_ -- I say.” "
        "He left... and came. ‘Oh!’ She went."
    )
    found = list(sentences(text))
    assert [sentence.text for sentence in found] == [
        "Mr. and Mrs. J. Hill came to St. Ives.",
        '"What!" cried he.',
        '"Is it so?',
        'Never — I say."',
        "He left... and came.",
        "'Oh!'",
        "She went.",
    ]
    assert [sentence.quoted for sentence in found] == [False, False, False, True, *[False] * 3]
    assert [sentence.words for sentence in found] == [9, 3, 3, 3, 4, 1, 2]


def test_a_run_can_be_read_alone() -> None:
    two = ["One is. Two was.", "Three will be."]
    assert alone(" ".join(two), least=3, most=4) == two
    assert alone("One is. Two was here all along. Six.", most=4) == ["One is.", "Six."]
    assert alone("One. Two was here.", least=2, most=3) == ["Two was here."]
    speech = '"One is. Two was. Three will be," he said. Then he left.'
    assert alone(speech, most=2) == ["Two was."], "an opened quotation is closed, or has no mark"
    assert alone(speech, most=9) == ['"One is. Two was. Three will be," he said.', "Then he left."]
    assert alone("'One is. The others' own,' said he.", most=5) == []
    assert alone("'One is. The others' own,' said he.") == ['"One is. The others\' own," said he.']
    assert alone("Left by 'em.") == [], "which might be the beginning of a quotation"


@pytest.mark.parametrize(
    "line",
    [
        "CHAPTER I",
        "THE END.",
        "Chapter 3. The Spouter-Inn.",
        "Contents of this book",
        "and so it went.",
        "IT was a dark night.",
        "See [1] below.",
        "* * *",
    ],
)
def test_a_file_that_is_no_sentence_is_left_out(line: str) -> None:
    assert alone(line) == []


def test_a_sentence_that_is_left_out_divides_its_neighbours() -> None:
    assert alone("He came. LOOK here! She went.") == ["He came.", "She went."]


def test_books_are_split_by_title(tmp_path: Path) -> None:
    source = Restoration(shelf(tmp_path), test="sun", validation=["moon"], most_words=9)
    found = {split: source.examples(split, Letters()) for split in SPLITS}
    assert source.own_splits == {"validation", "test"}
    assert {split: {e.group for e in found[split]} for split in SPLITS} == {
        "training": {"star"},
        "validation": {"moon"},
        "test": {"sun"},
    }
    first = found["test"][0]
    assert first.segments[0].text.startswith("Restore: the sun rose 2 times")
    assert first.segments[1].text.startswith(" The sun rose 2 times.")
    assert [segment.response for segment in first.segments] == [False, True]
    assert first.location == str(tmp_path / "sun.txt")
    texts = {split: [e.segments[1].text.strip() for e in found[split]] for split in SPLITS}
    shared = "Every book has this sentence, it seems."
    assert [shared in texts[split] for split in SPLITS] == [False, True, True]
    assert not set(texts["training"]) & set(texts["test"] + texts["validation"])
    offered = list(source.texts())
    assert offered[1::2] == texts["training"]
    assert offered[::2] == [f"Restore: {lower_words(text)}" for text in texts["training"]]


def test_the_seed_draws_the_runs(tmp_path: Path) -> None:
    path = shelf(tmp_path)

    def drawn(seed: int) -> list[str]:
        source = Restoration(path, test="sun", validation="moon", seed=seed)
        return [example.segments[1].text for example in source.examples("training", Letters())]

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(4)}) > 1


def test_both_layouts(tmp_path: Path) -> None:
    examples = Restoration(
        shelf(tmp_path), test="sun", validation="moon", prompt="{text}", most_words=5
    )
    source = Prompted(examples, TextOptions(length=200))
    continued = source.training(Materials(Letters(), tmp_path))
    answered = source.training(
        Materials(Letters(), tmp_path, encoder_decoder=EncoderDecoderLayout(3, 100))
    )
    for one, other in zip(continued.token_lists(), answered.token_lists(), strict=True):
        begin, text = text_of(other).split(">|")
        assert text_of(one) == f"<{begin} {text}"
        assert lower_words(text) == begin


def test_invalid_options_are_reported(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data.prompt='Restore' must contain \{text\} once"):
        Restoration(tmp_path, prompt="Restore")
    with pytest.raises(UserError, match=r"data.least_words=9 and data.most_words=8 were given"):
        Restoration(tmp_path, least_words=9, most_words=8)
    source = Restoration(shelf(tmp_path), least_words=80, most_words=99)
    with pytest.raises(UserError, match=r"the training books have no .*data.least_words=80"):
        source.examples("test", Letters())
    with pytest.raises(UserError, match="'mars', but no book has that title"):
        Restoration(tmp_path, test="mars").examples("test", Letters())


def test_facts_contain_files_and_options(tmp_path: Path) -> None:
    path = shelf(tmp_path)
    facts = Restoration(path).facts()
    assert facts == Restoration(path).facts()
    for other in ({"prompt": "{text}"}, {"most_words": 30}, {"least_words": 3}, {"seed": 1}):
        assert Restoration(path, **other).facts() != facts


def test_real_books(shared: Path) -> None:
    source = Restoration(shared / "data" / "books", test="alice", validation="dorian")
    found = {split: source.examples(split, Letters()) for split in SPLITS}
    assert [len(found[split]) // 500 for split in SPLITS] == [29, 5, 1]
    assert {e.group for e in found["test"]} == {"Alice’s Adventures in Wonderland"}
    for split in SPLITS:
        for example in found[split]:
            asked, text = (segment.text.strip() for segment in example.segments)
            words = asked.removeprefix("Restore: ").split(" ")
            assert 4 <= len(words) <= 40
            assert " ".join(words) == lower_words(text)
            assert text[0] in "\"'(" or text[0].isupper()
            assert re.search(r"[.!?][\"')]*$", text)
            assert text.count('"') % 2 == 0
            assert not re.search(r"  |[_*\[“”‘’]|[A-Z]{2}|^Chapter \d", text)


def test_windows_are_more_to_train_on(tmp_path: Path) -> None:
    """Neighbouring words of training books alone; shuffled or repeated, in another order."""
    path = str(shelf(tmp_path))
    known: dict[str, Any] = {"test": "sun", "validation": "star", "least_words": 3, "most_words": 6}
    plain = [
        e.segments[-1].text for e in Restoration(path, **known).examples("training", Letters())
    ]
    for disorder in ({}, {"shuffled": 1.0}, {"repeated": 1.0}):
        chosen: dict[str, Any] = {**known, **disorder, "windows_prompt": "Words: {text}"}
        source = Restoration(path, **chosen, windows=40)
        message = [example.segments[-1].text for example in source.examples("training", Letters())]
        more = message[len(plain) :]
        assert message[: len(plain)] == plain
        assert 20 < len(more) <= 40  # those that a held-out book says too are dropped
        whole = " ".join(
            s.text
            for p in (tmp_path / "moon.txt").read_text().split("\n\n")[1:]
            for s in sentences(p)
        )
        assert all(3 <= len(text.split()) <= 6 for text in more)
        assert all(set(text.split()) <= set(whole.split()) for text in more)
        assert all((text.strip() in whole) for text in more) == (not disorder)
        drawn = [text for text in more if len(set(text.split())) < len(text.split())]
        assert (len(drawn) > 5) == ("repeated" in disorder)
        assert not any("sun" in text or "star" in text for text in more)
        asked = [example.segments[0].text for example in source.examples("training", Letters())]
        assert all(text.startswith("Words: ") for text in asked[len(plain) :])
        assert all(text.startswith("Restore: ") for text in asked[: len(plain)])
        again = Restoration(path, **chosen, windows=40)
        assert [e.segments[-1].text for e in again.examples("training", Letters())] == message
    with pytest.raises(UserError, match=r"data.windows=-1, data.shuffled=2 and data.repeated=0"):
        Restoration(path, windows=-1, shuffled=2)
