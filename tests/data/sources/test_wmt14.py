"""WMT14: prompts, splits, shots, and what keeps training text out of the held-out text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import datasets
import pytest
from tests.training.runs import NoTokenizer

from litdraft.data.sources.examples import Example, Split
from litdraft.data.sources.wmt14 import WMT14
from litdraft.errors import UserError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Training text of 8 pairs, two of which are also held out, and both held-out files."""
    texts = {
        "train.de": [f"Satz {i}" for i in range(6)] + ["Haben wir gelernt ?", "Neu"],
        "train.en": [f"Line {i}" for i in range(6)] + ["Different", "Have it ."],
        "newstest2013.de": ["Haben wir gelernt?"],
        "newstest2013.en": ["Have we?"],
        "newstest2014.de": ["Etwas"],
        "newstest2014.en": ["Have it."],
    }
    for name, lines in texts.items():
        (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


def texts(source: WMT14, split: Split) -> list[tuple[str, ...]]:
    return [tuple(p.text for p in e.segments) for e in source.examples(split, NoTokenizer())]


def test_an_example_is_a_prompt_and_its_translation(folder: Path) -> None:
    example = WMT14(str(folder)).examples("validation", NoTokenizer())[0]
    assert isinstance(example, Example)
    asked, answer = example.segments
    assert asked.text == "Translate German to English: Haben wir gelernt?\nEnglish:"
    assert answer.text == " Have we?"
    assert [asked.response, answer.response, asked.long] == [False, True, False]
    assert example.location == f"{folder / 'newstest2013.de'}, line 1"
    back = WMT14(str(folder), source="en", target="deu", prompt="{source} ({target_language})")
    assert texts(back, "validation") == [("Have we? (German)", " Haben wir gelernt?")]


def test_training_pairs_with_a_held_out_line_are_dropped(folder: Path) -> None:
    source = WMT14(str(folder), prompt="{source}")
    assert source.own_splits == {"validation", "test"}
    assert texts(source, "training") == [(f"Satz {i}", f" Line {i}") for i in range(6)]
    assert texts(source, "test") == [("Etwas", " Have it.")]
    assert list(source.texts()) == [f"{side} {i}" for i in range(6) for side in ("Satz", "Line")]


def test_only_files_with_these_names_are_held_out(folder: Path) -> None:
    source = WMT14(str(folder), validation=None, test=["2014", "2015"])
    assert source.own_splits == {"test"}
    assert len(texts(source, "training")) == 9 - 1
    with pytest.raises(UserError, match="has no validation pairs"):
        source.examples("validation", NoTokenizer())


def test_shots_come_before_every_prompt_and_are_not_trained_on(folder: Path) -> None:
    source = WMT14(str(folder), shots=2, seed=3, prompt="{source} =")
    training, test = texts(source, "training"), texts(source, "test")
    first, second, asked = test[0][0].split("\n\n")
    assert asked == "Etwas ="
    every = [f"Satz {i} = Line {i}" for i in range(6)]
    trained = [prompt.split("\n\n")[-1] + answer for prompt, answer in training]
    assert sorted([first, second, *trained]) == every
    assert all(prompt.startswith(f"{first}\n\n{second}\n\n") for prompt, _ in training)
    assert texts(WMT14(str(folder), shots=2, seed=3, prompt="{source} ="), "test") == test
    assert texts(WMT14(str(folder), shots=2, seed=4, prompt="{source} ="), "test") != test
    with pytest.raises(UserError, match="shots=6, but there are 6 training pairs"):
        WMT14(str(folder), shots=6).examples("test", NoTokenizer())


def test_restoring_can_be_forced_and_forbidden(tmp_path: Path) -> None:
    (tmp_path / "a.de").write_text("Ja , gut .\n", encoding="utf-8")
    (tmp_path / "a.en").write_text("Yes, it &apos;s.\n", encoding="utf-8")
    answers: dict[bool | str, tuple[str, str]] = {
        "auto": ("Ja, gut.", " Yes, it's."),
        True: ("Ja, gut.", " Yes, it's."),
        False: ("Ja , gut .", " Yes, it &apos;s."),
    }
    for restore, answer in answers.items():
        source = WMT14(str(tmp_path), restore=restore, prompt="{source}")
        assert texts(source, "training") == [answer]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "one language": ({"source": "eng"}, "are both en"),
    "shots": ({"shots": -1}, "shots=-1"),
    "restore": ({"restore": "maybe"}, "restore=maybe must be auto"),
    "no source": ({"prompt": "Translate!"}, "must contain {source} once"),
    "a strange name": ({"prompt": "{source} {x}"}, "must contain {source} once"),
    "a brace": ({"prompt": "{source} {"}, "must contain {source} once"),
}


@pytest.mark.parametrize("choices, message", WRONG.values(), ids=WRONG.keys())
def test_wrong_options_are_reported(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        WMT14(**choices)


def test_a_file_of_two_splits_is_reported(folder: Path) -> None:
    with pytest.raises(UserError, match=r"newstest2014\.de matches both data\.validation"):
        _ = WMT14(str(folder), validation="newstest").own_splits


def test_held_out_text_alone_is_read_but_not_trained_on(folder: Path) -> None:
    source = WMT14([folder / "newstest2014.de", folder / "newstest2014.en"])
    assert len(texts(source, "test")) == 1
    with pytest.raises(UserError, match="has no training pairs"):
        source.examples("training", NoTokenizer())


def test_facts_change_with_options_and_files(folder: Path) -> None:
    facts = WMT14(str(folder)).facts()
    assert facts == WMT14([str(folder)]).facts()
    assert facts["class"] == "WMT14"
    assert WMT14(str(folder), validation=None).facts() != facts
    assert WMT14(str(folder), source="en", target="de").facts() != facts
    assert WMT14(str(folder), shots=1).facts() != facts
    (folder / "train.en").write_text("x\n", encoding="utf-8")
    assert WMT14(str(folder)).facts() != facts


def test_the_hubs_own_splits(tmp_path: Path) -> None:
    hub = tmp_path / "wmt14"
    features = datasets.Features(translation=datasets.Translation(["de", "en"]))
    card = "---\nconfigs:\n- config_name: de-en\n  data_files:\n"
    for split in ("train", "validation", "test"):
        rows = [{"translation": {"de": f"{split} {i} .", "en": f"x {i}"}} for i in range(4)]
        rows.insert(1, {"translation": {"de": "\u00a0", "en": "lost"}})
        (hub / "de-en").mkdir(parents=True, exist_ok=True)
        table = datasets.Dataset.from_list(rows, features=features)
        table.to_parquet(hub / "de-en" / f"{split}-00000-of-00001.parquet")
        card += f"  - split: {split}\n    path: de-en/{split}-*\n"
    (hub / "README.md").write_text(card + "---\n", encoding="utf-8")
    source = WMT14(hub=str(hub), shots=1, prompt="{source}")
    assert source.own_splits == {"validation", "test"}
    assert [len(texts(source, split)) for split in ("training", "validation", "test")] == [3, 4, 4]
    example = source.examples("validation", NoTokenizer())[1]
    assert example.segments[0].text.endswith("\n\nvalidation 1.")
    assert example.location == f"{hub}, validation, row 3"
    back = WMT14(hub=str(hub), source="en", target="de", restore=False, prompt="{source}")
    assert texts(back, "test")[0] == ("x 0", " test 0 .")
    with pytest.raises(UserError, match="split 'train' of 'fr-en' cannot be opened"):
        WMT14(hub=str(hub), source="fr").examples("training", NoTokenizer())


def test_no_network_is_reported() -> None:
    with pytest.raises(UserError, match=r"wmt/wmt14 cannot be reached \(no network"):
        WMT14().examples("training", NoTokenizer())


def test_the_real_files(shared: Path) -> None:
    source = WMT14(str(shared / "data/wmt14/newstest"))
    counts = {split: len(texts(source, split)) for split in ("validation", "test")}
    assert counts == {"validation": 3000, "test": 3003}
    repeated = 3  # Ja? once and Warum? twice
    assert len(texts(source, "training")) == 2051 + 2525 + 2489 + 3003 - repeated == 10_065


def test_the_real_tokenised_files(shared: Path) -> None:
    toy = shared / "data/wmt14/opennmt_toy_train"
    source = WMT14({"en": toy / "src-train.txt", "de": toy / "tgt-train.txt"})
    training = texts(source, "training")
    assert len(training) == 10_000 - 1, "line 5 has no English"
    assert source.own_splits == frozenset()
    assert not [text for pair in training for text in pair if re.search(r"\w , |&apos;", text)]
