"""Llama 3's tokenizer.model: the same ids as BPE by ranks done slowly, and as tiktoken's own."""

from __future__ import annotations

import base64
from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import regex  # type: ignore[import-untyped]

from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import open_tokenizer
from litdraft.tokenizers.tiktoken import PATTERN

TEXT = (
    "Once upon a time, there was a little girl named Lily. She'd 3 dogs, 42 cats and 12345 ants!\n"
    "\n\nThe old  man said: naïve, café\r\n and left. I'LL see; they've been there, haven't they?\n"
    "def f(x):\n    return x + 1000000\n\t# 你好，世界。你好吗？ 🦙🦙 こんにちは мир, мир\n"
)
HARD = (
    "",
    " ",
    "it's IT'S we'd 'tis don''t",
    "1 12 123 1234 12345678 3.14 ١٢٣٤ ½",
    "你好世界 世界你好 안녕하세요 \u3000 全角",
    "🦙 👩‍👩‍👧 e\u0301 \u200d\ufeff",
    "a\n\n\n b \r\n\r\n  c\t\t\td  \n  ",
    "  leading,   and trailing   ",
    "<|begin_of_text no special> !!!??? ...\n\n... ((a))",
    "\u0085\u00a0\u2028x\U0010ffff",
)
SPECIAL = {
    0: "<|begin_of_text|>", 1: "<|end_of_text|>", 2: "<|reserved_special_token_0|>",
    4: "<|finetune_right_pad_id|>", 5: "<|reserved_special_token_2|>", 6: "<|start_header_id|>",
    7: "<|end_header_id|>", 8: "<|eom_id|>", 9: "<|eot_id|>", 10: "<|python_tag|>",
    11: "<|reserved_special_token_3|>", 255: "<|reserved_special_token_247|>",
}  # fmt: skip


def train(text: str, merges: int) -> dict[bytes, int]:
    """Ranks of bytes, then of the most frequent neighbours, joined one after the other."""
    order = sorted(range(256), key=lambda byte: (not 33 <= byte < 127, byte))  # as in real files
    ranks = {bytes([byte]): rank for rank, byte in enumerate(order)}
    words = Counter(regex.findall(PATTERN, text))
    pieces = {word: [bytes([byte]) for byte in word.encode()] for word in words}
    while len(ranks) < 256 + merges:
        pairs: Counter[tuple[bytes, bytes]] = Counter()
        for word, parts in pieces.items():
            for one, other in pairwise(parts):
                pairs[one, other] += words[word]
        joined = b"".join(max((count, pair) for pair, count in pairs.items())[1])
        ranks.setdefault(joined, len(ranks))
        for parts in pieces.values():
            join(parts, joined)
    return ranks


def join(parts: list[bytes], joined: bytes) -> None:
    at = 0
    while at + 1 < len(parts):
        if parts[at] + parts[at + 1] == joined:
            parts[at : at + 2] = [joined]
        at += 1


def slow(ranks: dict[bytes, int], text: str) -> list[int]:
    """As tiktoken documents: join the leftmost neighbours of the lowest rank until none has."""
    ids = []
    for word in regex.findall(PATTERN, text):
        parts = [bytes([byte]) for byte in word.encode()]
        while word.encode() not in ranks and len(parts) > 1:
            pairs = [a + b for a, b in pairwise(parts)]
            at = min(range(len(pairs)), key=lambda i: (ranks.get(pairs[i], len(ranks)), i))
            if pairs[at] not in ranks:
                break
            parts[at : at + 2] = [pairs[at]]
        ids += [ranks[part] for part in ([word.encode()] if word.encode() in ranks else parts)]
    return ids


def write(path: Path, ranks: dict[bytes, int]) -> Path:
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    path.write_bytes(b"".join(lines))
    return path


RANKS = train(TEXT, 120)
BOS = len(RANKS)


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder = tmp_path_factory.mktemp("llama3")
    write(folder / "tokenizer.model", RANKS)
    return open_tokenizer(folder)


@pytest.fixture(scope="module")
def real_text(shared: Path) -> str:
    books = sorted((shared / "data" / "books").glob("*.txt"))
    return books[0].read_text(encoding="utf-8")[2000:12000]


@pytest.mark.parametrize("text", [TEXT, *HARD])
def test_ids_are_those_of_bpe_by_ranks(tokenizer: Tokenizer, text: str) -> None:
    ids = tokenizer.encode(text, bos=False)
    assert ids == slow(RANKS, text)
    assert tokenizer.decode(ids) == text
    assert tokenizer.encode(text) == [BOS, *ids]


def test_a_book_keeps_its_ids(tokenizer: Tokenizer, real_text: str) -> None:
    ids = tokenizer.encode(real_text, bos=False)
    assert ids == slow(RANKS, real_text)
    assert tokenizer.decode(ids) == real_text


def test_ids_are_those_of_tiktoken(tokenizer: Tokenizer, real_text: str) -> None:
    tiktoken: Any = pytest.importorskip("tiktoken")
    theirs = tiktoken.Encoding(
        "made", pat_str=PATTERN, mergeable_ranks=RANKS, special_tokens={"<|eot_id|>": BOS + 9}
    )
    for text in (TEXT, *HARD, real_text):
        ids = theirs.encode(text, disallowed_special=())
        assert tokenizer.encode(text, bos=False) == ids
        assert tokenizer.decode(ids) == theirs.decode(ids)
        assert tokenizer.decode(ids[:-1]) == theirs.decode(ids[:-1])  # half a letter, too


def test_special_tokens_stand_after_the_ranks(tokenizer: Tokenizer) -> None:
    assert (tokenizer.size, tokenizer.bos, tokenizer.eos) == (BOS + 256, BOS, BOS + 1)
    for place, name in SPECIAL.items():
        assert tokenizer.piece(BOS + place) == name
    pieces = [tokenizer.piece(i) for i in range(tokenizer.size)]
    assert len(set(pieces)) == tokenizer.size
    with pytest.raises(IndexError):
        tokenizer.piece(tokenizer.size)


def test_a_rendered_turn_has_its_special_tokens(tokenizer: Tokenizer) -> None:
    ids = tokenizer.encode_rendered("<|start_header_id|>user<|end_header_id|>\n\nA cat<|eot_id|>")
    user, cat = (slow(RANKS, text) for text in ("user", "\n\nA cat"))
    assert ids == [BOS + 6, *user, BOS + 7, *cat, BOS + 9]
    assert tokenizer.decode(ids) == "user\n\nA cat"


def test_a_template_in_the_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "chat_template.jinja").write_text("{{ bos_token }}{{ messages[0].content }}")
    template = open_tokenizer(write(tmp_path / "tokenizer.model", RANKS)).template
    assert template is not None
    assert template.render([{"role": "user", "content": "Hi"}], False) == "<|begin_of_text|>Hi"


def test_the_same_tokens_in_a_tokenizer_json_are_the_same(
    tokenizer: Tokenizer, tmp_path: Path
) -> None:
    """Converted by transformers, as the hub's Llama 3 folders were."""
    pytest.importorskip("tiktoken")
    from transformers.convert_slow_tokenizer import TikTokenConverter

    names = [tokenizer.piece(BOS + i) for i in range(256)]
    path = write(tmp_path / "tokenizer.model", RANKS)
    theirs = TikTokenConverter(str(path), extra_special_tokens=names).converted()
    for token in range(tokenizer.size):
        assert theirs.id_to_token(token) == tokenizer.piece(token)
    for text in (TEXT, *HARD):
        assert theirs.encode(text).ids == tokenizer.encode(text, bos=False)


BROKEN = {
    "a line cut short": (lambda lines: [*lines[:-1], b"IQ=="], "line 376 is not a base64 token"),
    "no base64": (
        lambda lines: [*lines[:9], b"!!! 9", *lines[10:]],
        "line 10 is not a base64 token",
    ),
    "no rank": (
        lambda lines: [*lines[:9], b"IQ== nine", *lines[10:]],
        "line 10 is not a base64 token",
    ),
    "a hole": (lambda lines: [*lines[:300], *lines[301:]], "375 tokens, but their ranks"),
    "a byte missing": (lambda lines: [b"YWJj 0", *lines[1:]], "no token for the byte 33"),
}


@pytest.mark.parametrize("spoil, named", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_refused_by_name(tmp_path: Path, spoil: Any, named: str) -> None:
    path = write(tmp_path / "tokenizer.model", RANKS)
    path.write_bytes(b"\n".join(spoil(path.read_bytes().splitlines())))
    with pytest.raises(UserError, match=rf"tokenizer\.model.*{named}"):
        open_tokenizer(path)
