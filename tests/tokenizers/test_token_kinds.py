"""Kinds of tokens, whichever way a tokenizer spells spaces, bytes and newlines."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
import torch
from tests.tokenizers.test_tiktoken import RANKS, TEXT, write

from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import open_tokenizer
from litdraft.tokenizers.token_kinds import KINDS, TokenKinds, kind_of

HAND_MADE = {
    " Once": "word", " don't": "word", "ing": "suffix", "'s": "suffix", "é": "suffix",
    "nd ": "suffix", "的": "suffix", "-like": "suffix", ".": "punctuation", ' "': "punctuation",
    "!?": "punctuation", "'": "punctuation", " —": "punctuation", ".\n": "punctuation",
    "3": "digit", " 2026": "digit", "\n": "newline", "\r\n": "newline", " \n": "newline",
    " ": "space", "\t": "space", "s, ": "other", ". It": "other", "3rd": "other", "<unk>": "other",
    "": "other",
}  # fmt: skip


@pytest.mark.parametrize("text, name", HAND_MADE.items())
def test_kinds_of_texts(text: str, name: str) -> None:
    assert KINDS[kind_of(text)] == name


def named(tokenizer: Tokenizer, text: str) -> list[tuple[str, str]]:
    """Pieces of a text, after a newline, and the kinds of the tokens in it."""
    newline = tokenizer.encode("\n", bos=False)[-1:]
    tokens_n = torch.tensor(newline + tokenizer.encode(text, bos=False))
    kind_n = TokenKinds.of(tokenizer).in_context(tokens_n[:-1], tokens_n[1:])
    pieces = map(tokenizer.piece, tokens_n[1:].tolist())
    return [(piece, KINDS[i]) for piece, i in zip(pieces, kind_n.tolist(), strict=True)]


def byte_level(path: Path) -> Tokenizer:
    """A byte-level tokenizer.json, as GPT-2 and later models have."""
    made = tokenizers.ByteLevelBPETokenizer()
    made.train_from_iterator([TEXT] * 5, 400, special_tokens=["<|endoftext|>"])
    made.save(str(path))
    return open_tokenizer(path)


def tiktoken(path: Path) -> Tokenizer:
    write(path, RANKS)
    return open_tokenizer(path)


def test_byte_level_tokenizers_know_the_same_kinds(tmp_path: Path) -> None:
    for tokenizer in (byte_level(tmp_path / "tokenizer.json"), tiktoken(tmp_path / "t.model")):
        result = dict(named(tokenizer, "Once a time, there"))
        assert (result["Once"], result["Ġa"], result["Ġthere"]) == ("word", "word", "word")
        assert result[","] == "punctuation"
        kinds = TokenKinds.of(tokenizer)
        alone = {tokenizer.piece(token): KINDS[kinds.kind_V[token]] for token in range(256)}
        expected = {"e": "suffix", "7": "digit", "Ġ": "space", "!": "punctuation", "Ã": "byte"}
        assert expected.items() <= alone.items()


# Letters without a space begin a word behind a quotation mark, a newline, or a space that is a
# token of its own, and go on one elsewhere.
REAL = {
    "mix-13m": (
        "Mr. Bennet's 3 “No!” He said so.\nNext",
        "▁Mr:word .:punctuation ▁Bennet:word ':punctuation s:suffix ▁:space 3:digit "
        "▁“:punctuation No:word !”:punctuation ▁He:word ▁said:word ▁so:word .:punctuation "
        "\n:newline N:word e:suffix xt:suffix",
    ),
    "tinystories656K_hf": (
        "Mr. Ben's 3 cats\nNext",
        "▁:space Mr:word .▁:punctuation Ben:word 's▁:suffix 3:digit ▁:space cat:word "
        "s:suffix \n:newline "
        "N:word ex:suffix t:suffix",
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_real_tokenizers(shared: Path, name: str) -> None:
    text, expected = REAL[name]
    result = named(open_tokenizer(shared / "targets" / name), text)
    message = [f"{piece}:{kind}" for piece, kind in result]
    assert message == expected.split(" ")


def test_suffixes_are_the_letters_without_a_space(shared: Path) -> None:
    """By the pieces of SentencePiece itself, and the same in llama2.c's file of them."""
    folder = shared / "targets" / "stories260K"
    for name in ("tok512.model", "tok512.bin"):
        tokenizer = open_tokenizer(folder / name)
        letters = [t for t in range(259, tokenizer.size) if tokenizer.piece(t).isalpha()]
        bytes_ = [3 + byte for byte in range(128) if chr(byte).isalpha()]
        assert TokenKinds.of(tokenizer).suffixes() == sorted((*letters, *bytes_)), name


def test_spare_rows_of_a_model_are_of_no_kind(shared: Path) -> None:
    tokenizer = open_tokenizer(shared / "targets" / "mix-13m")
    kinds = TokenKinds.of(tokenizer, tokenizer.size + 3)
    assert [KINDS[i] for i in kinds.kind_V[-3:]] == ["other"] * 3
    assert [KINDS[i] for i in kinds.kind_V[:3]] == ["other"] * 3
