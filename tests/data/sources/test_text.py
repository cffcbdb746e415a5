"""Plain text into rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from litdraft.data.distributed import Distributed
from litdraft.data.sources.base import Materials
from litdraft.data.sources.documents import Documents, cut
from litdraft.data.sources.options import HELD_OUT, TextOptions
from litdraft.data.sources.text import Text, separated
from litdraft.errors import UserError
from litdraft.tokenizers.load import open_tokenizer


def test_documents_are_separated_and_unwrapped(tmp_path: Path) -> None:
    text = "one\ntwo\n\nthree\n<|endoftext|>\nfour\n"
    assert list(separated(text, "<|endoftext|>", False)) == ["one\ntwo\n\nthree", "four"]
    assert list(separated(text, "<|endoftext|>", True)) == ["one two\nthree", "four"]
    (tmp_path / "a.txt").write_text("\ufeffone\r\ntwo", encoding="utf-8")
    assert list(Text(str(tmp_path)).texts()) == ["one\ntwo"]


def test_rows_end_at_a_lines_end_where_one_is_near() -> None:
    ids = [1, 5, 5, 9, 5, 5, 5, 9, 5, 5]
    assert cut(ids, 5, frozenset({9}), bos=1) == [[1, 5, 5, 9], [1, 5, 5, 5, 9], [1, 5, 5]]
    assert cut(ids, 5, frozenset(), bos=1) == [[1, 5, 5, 9, 5], [1, 5, 5, 9, 5], [1, 5]]


def test_every_token_lands_in_exactly_one_split(little: Path, tmp_path: Path) -> None:
    tokenizer = open_tokenizer(little / "tokenizer.model")
    options = TextOptions(length=64, opening=8, held_out_rows=10)
    source = Documents(Text(str(little / "text")), options)
    materials = Materials(tokenizer, tmp_path)
    splits = [
        source.training(materials),
        *(source.held_out(materials, split, 99, 8) for split in HELD_OUT),
    ]
    assert [len(splits[1]), len(splits[2])] == [10, 10]
    rows = [tuple(row) for split in splits for row in split.token_lists()]
    assert all(2 <= len(row) <= 64 for row in rows)
    words = sum(row.count(t) for row in rows for t in set(row) if t != tokenizer.bos)
    whole = [
        tokenizer.encode(path.read_text().strip(), bos=False)
        for path in (little / "text").iterdir()
    ]
    assert words == sum(len(ids) + 1 for ids in whole), "all tokens, and an end token a document"
    assert all(len(prompt) == 8 for prompt in splits[2].prompts())


def test_short_documents_are_not_prompts_to_their_end(little: Path, tmp_path: Path) -> None:
    tokenizer = open_tokenizer(little / "tokenizer.model")
    (tmp_path / "a.txt").write_text("|".join(f"dal {n} bel" for n in range(40)))
    source = Text(str(tmp_path / "a.txt"), separator="|")
    materials = Materials(tokenizer, tmp_path)
    held_out = Documents(source, TextOptions(length=64)).held_out(materials, "test", 9, 8)
    assert all(
        0 < len(p) < len(r) for p, r in zip(held_out.prompts(), held_out.token_lists(), strict=True)
    )
    rewritten = TextOptions(length=64, responses="target", response_tokens=8)
    with pytest.raises(UserError, match=r"no row is longer than data.opening=32"):
        Documents(source, rewritten).training(materials)


def test_one_process_works_and_all_hear_of_a_mistake() -> None:
    said: list[str] = []

    def wrong() -> None:
        raise UserError("no such file")

    def first(message: str) -> str:
        said.append(message)
        return message

    with pytest.raises(UserError, match="no such file"):
        Distributed(0, 2, broadcast=first).run_once(wrong)
    with pytest.raises(UserError, match="no such file"):
        Distributed(1, 2, broadcast=lambda _: said[0]).run_once(
            lambda: pytest.fail("only the first acts")
        )


def test_a_file_that_is_no_text_is_reported(tmp_path: Path) -> None:
    bad = tmp_path / "bad.txt"
    for content, answer in (
        (b"\xff\xfe\x00caf\xe9", "bad.txt is a binary file"),
        (b"two lines\nof caf\xe9", r"not UTF-8: byte 16 \(line 2\) is 0xe9"),
        (b"   \n", "bad.txt is empty"),
        (b"|||", "has no text between"),
    ):
        bad.write_bytes(content)
        with pytest.raises(UserError, match=answer):
            list(Text(str(bad), separator="|").texts())
    with pytest.raises(UserError, match=r"does not exist: give data\.path"):
        list(Text(str(tmp_path / "no")).texts())
    with pytest.raises(UserError, match="opening=64"):
        TextOptions(length=32, opening=64)
