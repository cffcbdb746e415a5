"""CNN/DailyMail: prompts, splits, and the error for a table without such text."""

from __future__ import annotations

import csv
from pathlib import Path

import datasets
import pytest

from litdraft.data.sources.cnn_dailymail import CNNDailyMail
from litdraft.data.sources.examples import Segment, Split
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import open_tokenizer

SPLITS: tuple[Split, ...] = ("training", "validation", "test")


@pytest.fixture
def tokenizer(little: Path) -> Tokenizer:
    return open_tokenizer(little / "tokenizer.model")


def write(folder: Path, **tables: list[tuple[str, str]]) -> Path:
    for name, rows in tables.items():
        with (folder / f"{name}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("article", "highlights"), *rows])
    return folder


def test_an_example_is_a_prompt_an_article_and_its_highlights(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    write(tmp_path, a=[("One, two.\nThree.", "First .\nSecond ."), ("", "lost"), ("x", "y")])
    examples = CNNDailyMail(str(tmp_path)).examples("training", tokenizer)
    assert examples[0].segments == (
        Segment("Summarize: "),
        Segment("One, two.\nThree.", long=True),
        Segment("\nTL;DR:"),
        Segment(" First .\nSecond .", response=True),
    )
    assert [example.location for example in examples] == [
        f"{tmp_path / 'a.csv'}, row {row}" for row in (1, 3)
    ]
    bare = CNNDailyMail(tmp_path, prompt="{article}").examples("training", tokenizer)
    assert bare[1].segments == (Segment("x", long=True), Segment(" y", response=True))


def test_names_of_files_hold_them_out_and_keep_their_articles_out(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    write(tmp_path, train=[("A.", "a"), ("B", "b"), ("C", "c")], my_test=[("a", "x")])
    source = CNNDailyMail(str(tmp_path))
    assert source.own_splits == {"test"}
    assert [len(source.examples(split, tokenizer)) for split in ("training", "test")] == [2, 1]
    assert list(source.texts()) == ["B", "b", "C", "c"]
    everything = CNNDailyMail(str(tmp_path), test=None)
    assert [everything.own_splits, len(everything.examples("training", tokenizer))] == [set(), 4]
    with pytest.raises(UserError, match="has no validation pairs"):
        source.examples("validation", tokenizer)
    with pytest.raises(UserError, match="has no training pairs"):
        CNNDailyMail(tmp_path / "my_test.csv").examples("training", tokenizer)


def test_a_file_that_is_no_such_table_is_reported(tmp_path: Path, tokenizer: Tokenizer) -> None:
    with pytest.raises(UserError, match=r"must contain \{article\} once"):
        CNNDailyMail(prompt="Summarize!")
    with pytest.raises(UserError, match="abisee/cnn_dailymail cannot be reached"):
        CNNDailyMail().examples("training", tokenizer)
    (tmp_path / "a.jsonl").write_text('{"article": "a", "highlights": null}\n', encoding="utf-8")
    with pytest.raises(UserError, match="row 1: article and highlights must both be text"):
        CNNDailyMail(str(tmp_path)).examples("training", tokenizer)
    (tmp_path / "a.jsonl").write_text('{"article": "a", "summary": "b"}\n', encoding="utf-8")
    with pytest.raises(UserError, match="columns article, summary, but highlights is needed"):
        CNNDailyMail(str(tmp_path)).examples("training", tokenizer)


def test_facts_change_with_options_and_files(tmp_path: Path) -> None:
    write(tmp_path, a=[("x", "y")])
    facts = CNNDailyMail(str(tmp_path)).facts()
    assert facts["class"] == "CNNDailyMail"
    assert CNNDailyMail(str(tmp_path), prompt="{article}").facts() != facts
    write(tmp_path, a=[("x", "yy")])
    assert CNNDailyMail(str(tmp_path)).facts() != facts


def test_the_hubs_own_splits(tmp_path: Path, tokenizer: Tokenizer) -> None:
    hub = tmp_path / "cnn"
    (hub / "3.0.0").mkdir(parents=True)
    card = "---\nconfigs:\n- config_name: 3.0.0\n  data_files:\n"
    for split in ("train", "validation", "test"):
        rows = [{"article": f"{split} {i}", "highlights": "h", "id": str(i)} for i in range(3)]
        file = hub / "3.0.0" / f"{split}-00000-of-00001.parquet"
        datasets.Dataset.from_list(rows).to_parquet(file)
        card += f"  - split: {split}\n    path: 3.0.0/{split}-*\n"
    (hub / "README.md").write_text(card + "---\n", encoding="utf-8")
    source = CNNDailyMail(hub=str(hub))
    assert source.own_splits == {"validation", "test"}
    texts = [source.examples(split, tokenizer)[2].segments[1].text for split in SPLITS]
    assert texts == ["train 2", "validation 2", "test 2"]
    local = CNNDailyMail(str(hub))
    assert [len(local.examples(split, tokenizer)) for split in SPLITS] == [3, 3, 3]


def test_the_real_files(shared: Path, tokenizer: Tokenizer) -> None:
    source = CNNDailyMail(str(shared / "data/cnndm"))
    counts = [len(source.examples(split, tokenizer)) for split in SPLITS]
    assert counts == [300, 500, 250]
