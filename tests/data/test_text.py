"""Plain text into rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from litdraft.data.source import Materials
from litdraft.data.text import Text, cut, documents, packed
from litdraft.errors import UserError
from litdraft.models.tokenizer import open_tokenizer


def test_documents_are_separated_and_unwrapped(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(
        "\ufeffone\ntwo\n\nthree\n<|endoftext|>\nfour\n", encoding="utf-8"
    )
    assert list(documents(tmp_path, "<|endoftext|>", False)) == ["one\ntwo\n\nthree", "four"]
    assert list(documents(tmp_path, "<|endoftext|>", True)) == ["one two\nthree", "four"]


def test_rows_end_at_a_lines_end_where_one_is_near() -> None:
    ids = [1, 5, 5, 9, 5, 5, 5, 9, 5, 5]
    assert cut(ids, 5, frozenset({9}), bos=1) == [[1, 5, 5, 9], [1, 5, 5, 5, 9], [1, 5, 5]]
    assert cut(ids, 5, frozenset(), bos=1) == [[1, 5, 5, 9, 5], [1, 5, 5, 9, 5], [1, 5]]
    assert packed([[1, 2], [3], [4, 5, 6], [7]], 4) == [[1, 2, 3], [4, 5, 6, 7]]


def test_every_token_lands_in_exactly_one_split(little: Path) -> None:
    tokenizer = open_tokenizer(little / "tokenizer.model")
    source = Text(str(little / "text"), length=64, opening=8, held_out_rows=10)
    materials = Materials(tokenizer)
    splits = [
        source.training(materials),
        *(source.held_out(materials, s, 99) for s in ("validation", "test")),
    ]
    assert [len(splits[1]), len(splits[2])] == [10, 10]
    rows = [tuple(row) for split in splits for row in split.lists()]
    assert all(2 <= len(row) <= 64 for row in rows)
    words = sum(row.count(t) for row in rows for t in set(row) if t != tokenizer.bos)
    whole = [
        tokenizer.encode(path.read_text().strip(), bos=False)
        for path in (little / "text").iterdir()
    ]
    assert words == sum(len(ids) + 1 for ids in whole), "all tokens, and an end token a document"
    assert all(len(prompt) == 8 for prompt in splits[2].prompts())


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "bad.txt").write_bytes(b"\xff\xfe\x00caf\xe9")
    for path, answer in ((tmp_path / "no", "does not exist"), (tmp_path / "bad.txt", "UTF-8")):
        with pytest.raises(UserError, match=answer):
            list(documents(path, "", False))
    (tmp_path / "bad.txt").write_text("   \n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no text"):
        list(documents(tmp_path, "", False))
    with pytest.raises(UserError, match="opening=64"):
        Text(str(tmp_path), length=32, opening=64)
