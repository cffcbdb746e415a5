"""Books are split by title, whatever the format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from litdraft.data.readers.titles import normalized, split_titles
from litdraft.data.sources.books import Books
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import open_tokenizer

SPLITS: tuple[Split, ...] = ("training", "validation", "test")


def shelf(path: Path, *names: str) -> Path:
    for name in names:
        (path / f"{name}.txt").write_text(f"About {name}.\n\nThe\nend.\n", encoding="utf-8")
    return path


@pytest.fixture
def tokenizer(little: Path) -> Tokenizer:
    return open_tokenizer(little / "tokenizer.model")


def test_titles_are_compared_without_their_trimmings() -> None:
    for title in ("Moby Dick; or The Whale", "Moby-Dick", "MOBY DICK: a novel", "Moby Dick, or It"):
        assert normalized(title) == "moby dick"
    assert normalized("The  Alice’s “A”") == normalized("Alice's A") == "alice s a"
    assert normalized("A Tale of Two Cities") == "tale of two cities"
    assert normalized("The") == "the"
    assert normalized("Origin of Species") == "origin of species"


def test_each_file_is_an_example(tmp_path: Path, tokenizer: Tokenizer) -> None:
    books = Books(shelf(tmp_path, "pg12_red_sun", "moon", "1984"), test="red", validation=1984)
    (example,) = books.examples("test", tokenizer)
    assert example.segments == (("About pg12_red_sun.\nThe end.", True, False),)
    assert (example.group, example.location) == ("red sun", str(tmp_path / "pg12_red_sun.txt"))
    result = [e.group for s in SPLITS for e in books.examples(s, tokenizer)]
    assert result == ["moon", "1984", "red sun"]
    assert list(books.texts()) == ["About moon.\nThe end."]
    assert books.documents
    assert books.own_splits == {"validation", "test"}


def test_the_seed_chooses() -> None:
    titles = {letter: letter for letter in "abcdefgh"}
    result = []
    for seed in (0, 0, 1, 2, 3, 4):
        splits = list(split_titles(titles, {"test": None, "validation": None}, seed).values())
        assert (splits.count("validation"), splits.count("test")) == (1, 1)
        result.append(tuple(splits))
    assert result[0] == result[1]
    assert len(set(result)) > 2
    for seed in range(20):
        named = split_titles(titles, {"test": ["d", "e"], "validation": None}, seed)
        assert [title for title, split in named.items() if split == "test"] == ["d", "e"]
        assert list(named.values()).count("validation") == 1


@pytest.mark.parametrize(
    "titles, choices, answer",
    [
        ("abc", {"test": "alice"}, "'alice', but no book has that title: .* a; b; c"),
        ("abc", {"test": ["a", ""]}, "data.test names ''"),
        ("abc", {"test": []}, "data.test is an empty list"),
        ("abc", {"test": "a", "validation": ["b", "a"]}, "both name 'a'"),
        ("abc", {"test": ["a", "b"], "validation": "c"}, "has too few titles .a; b; c."),
        ("abc", {"test": ["a", "b"]}, "has too few titles .a; b; c."),
        ("ab", {}, "has too few titles .a; b."),
    ],
)
def test_impossible_splits_are_reported(
    tmp_path: Path, titles: str, choices: dict[str, Any], answer: str
) -> None:
    books = Books(shelf(tmp_path, *titles), **choices)
    with pytest.raises(UserError, match=answer):
        _ = books.books


def test_a_file_that_is_no_book_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.pdf").write_text("text")
    with pytest.raises(UserError, match=r"has no \.txt or \.epub file"):
        Books(tmp_path).facts()
    with pytest.raises(UserError, match=r"a\.pdf is not a book"):
        Books(tmp_path / "a.pdf").facts()
    head = "*** START OF THE PROJECT GUTENBERG EBOOK A ***\n\n[Illustration]\n"
    (tmp_path / "a.txt").write_text(head)
    with pytest.raises(UserError, match=r"a\.txt has .* no text"):
        _ = Books(tmp_path).books


def test_facts_contain_files_and_options(tmp_path: Path) -> None:
    shelf(tmp_path, *"abc")
    facts = Books(tmp_path, test="a").facts()
    assert json.loads(json.dumps(facts)) == facts
    assert facts == Books(tmp_path, test=["a"]).facts()
    assert facts != Books(tmp_path, test="b").facts()
    assert facts != Books(tmp_path, test="a", seed=1).facts()
    (tmp_path / "c.txt").write_text("More words than before.")
    assert facts != Books(tmp_path, test="a").facts()


def test_real_books(shared: Path, tokenizer: Tokenizer) -> None:
    folder = shared / "data" / "books"
    source = Books(folder, test="alice", validation=["dorian"])
    books = [book for split in SPLITS for book in source.books[split]]
    assert len(books) == 7, "the two that are there in both formats are one book each"
    epubs = {book.title: len(book.chapters) for book in books if book.epub}
    assert epubs == {"Moby-Dick": 138, "Pride and Prejudice": 14}
    examples = {split: source.examples(split, tokenizer) for split in SPLITS}
    groups = [{example.group for example in examples[split]} for split in SPLITS]
    assert groups[1:] == [{"dorian gray"}, {"Alice’s Adventures in Wonderland"}]
    assert len(groups[0]) == 5
    assert [len(examples[split]) for split in SPLITS] == [138 + 14 + 3, 1, 1]
    assert examples["training"][2].location == f"{folder / 'moby-dick_idpf.epub'}, chapter 3"
    texts = [segment.text for split in SPLITS for e in examples[split] for segment in e.segments]
    assert not any("gutenberg" in text.casefold() for text in texts)
    assert not any("  " in text or "\n\n" in text or text != text.strip() for text in texts)
