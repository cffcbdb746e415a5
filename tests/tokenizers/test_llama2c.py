"""llama2.c's tokenizer .bin: the same ids as the SentencePiece model it was made of, and as run.c's
own steps; what is no such file is refused."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Iterable
from pathlib import Path

import pytest
import sentencepiece

from litdraft.errors import UserError
from litdraft.tokenizers.load import first_difference, open_tokenizer

WORDS = ["the", "cat", "hat", "that", "catch", "night", "über", "naïve", "red", "reader", "aaa"]
SPECIALS = ["<unk>", "\n<s>\n", "\n</s>\n", *(f"<0x{byte:02X}>" for byte in range(256))]
LETTERS = "aabcdehnrt  \n\têü你好🦙\u2028\0<>0x"


def written(path: Path, pieces: Iterable[tuple[bytes, float]]) -> Path:
    """The layout of llama2.c's tokenizer.py."""
    pieces = list(pieces)
    data = struct.pack("<I", max(len(piece) for piece, _ in pieces))
    for piece, score in pieces:
        data += struct.pack("<fI", score, len(piece)) + piece
    path.write_bytes(data)
    return path


def made(path: Path, learned: dict[str, float]) -> Path:
    scores = dict.fromkeys(SPECIALS, 0.0) | learned
    return written(path, ((piece.encode(), score) for piece, score in scores.items()))


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A trained SentencePiece model, and the .bin that llama2.c makes of it."""
    folder = tmp_path_factory.mktemp("pair")
    random.seed(5)
    lines = (" ".join(random.choices(WORDS, k=9)) for _ in range(400))
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=lines, model_prefix=str(folder / "tokenizer"), model_type="bpe",
        vocab_size=310, byte_fallback=True, normalization_rule_name="identity",
        remove_extra_whitespaces=False, minloglevel=2,
    )  # fmt: skip
    model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
    learned = {
        model.id_to_piece(i).replace("▁", " "): model.get_score(i)
        for i in range(len(SPECIALS), model.get_piece_size())
    }
    return folder / "tokenizer.model", made(folder / "tokenizer.bin", learned)


def test_ids_pieces_and_text_are_sentencepieces(pair: tuple[Path, Path]) -> None:
    model, binary = map(open_tokenizer, pair)
    assert (binary.size, binary.bos, binary.eos) == (model.size, model.bos, model.eos)
    assert first_difference(model, binary) is None
    texts = ["", " ", "  the  cat ", "the catcher's nightmare", "üü", "<s>", "<0x41>"]
    texts += ["".join(random.choices(LETTERS, k=30)) for _ in range(300)]
    for text in texts:
        ids = model.encode(text)
        assert binary.encode(text) == ids, text
        assert binary.decode(ids) == model.decode(ids) == text


def by_run_c(learned: dict[str, float], text: str) -> list[str]:
    """The loop of run.c: look at every pair, merge the best one, begin again."""
    pieces = list(" " + text)
    while True:
        best = (-1e10, -1)
        for i in range(len(pieces) - 1):
            score = learned.get(pieces[i] + pieces[i + 1], -1e10)
            if score > best[0]:
                best = (score, i)
        if best[1] < 0:
            return pieces
        i = best[1]
        pieces[i : i + 2] = ["".join(pieces[i : i + 2])]


@pytest.mark.parametrize("letters", ["ab", "ab "], ids=["words apart", "pieces across words"])
def test_merges_are_those_of_run_c(tmp_path: Path, letters: str) -> None:
    """Scores of which many are equal, so that the leftmost pair is what counts."""
    learned = dict.fromkeys("ab ", -99.0)
    for _ in range(25):
        parts = random.choices([piece for piece in learned if piece.strip(" ")], k=2)
        if letters == "ab " and len(learned) % 3 == 0:
            parts.insert(1, " ")
            learned[parts[0] + " "] = -2.0
        learned["".join(parts)] = -float(random.randint(1, 4))
    tokenizer = open_tokenizer(made(tmp_path / "made.bin", learned))
    for _ in range(300):
        text = "".join(random.choices("aabbb ", k=random.randint(1, 40)))
        ids = tokenizer.encode(text, bos=False)
        assert [tokenizer.piece(i).replace("▁", " ") for i in ids] == by_run_c(learned, text)


REAL = {"llama2_tokenizer/tokenizer": 32_000, "stories260K/tok512": 512}


@pytest.mark.parametrize("name, size", REAL.items())
def test_real_tokenizers_agree_on_real_text(shared: Path, name: str, size: int) -> None:
    model, binary = (
        open_tokenizer(shared / "targets" / f"{name}.{end}") for end in ("model", "bin")
    )
    assert first_difference(model, binary) is None
    assert model.size == binary.size == size
    paths = ("books/pg11_alice.txt", "wmt14/newstest/newstest2014.deu")
    texts = [(shared / "data" / path).read_text(encoding="utf-8") for path in paths]
    texts += ["你好，世界。" * 5000, "🦙 naïve\tcafé\r\n\n\u2028\u3000", "ab" * 20_000]
    for text in texts:
        # stories260K's model drops spaces that the file cannot tell it should.
        plain = re.sub(" +", " ", text).strip(" ") if size == 512 else text
        ids = binary.encode(plain)
        assert ids == model.encode(plain)
        assert binary.decode(ids) == plain


def test_where_run_c_is_not_sentencepiece(shared: Path) -> None:
    folder = shared / "targets/stories260K"
    model, binary = (open_tokenizer(folder / f"tok512.{end}") for end in ("model", "bin"))
    for text, less in (("a  b", "a b"), (" a ", "a")):
        assert model.decode(model.encode(text)) == less
        assert binary.decode(binary.encode(text)) == text
    assert model.decode(model.encode("b▁a")) == "b a"
    assert binary.decode(binary.encode("b▁a")) == "b▁a"


def test_broken_bytes_and_special_pieces(pair: tuple[Path, Path]) -> None:
    tokenizer = open_tokenizer(pair[1])
    assert tokenizer.decode([1, 3 + 0xF0, 3 + 0x9F, *tokenizer.encode("cat", bos=False), 2]) == (
        "\ufffd cat"
    )
    assert [tokenizer.piece(i) for i in (0, 1, 2, 3)] == ["<unk>", "<s>", "</s>", "<0x00>"]
    for none in (-1, tokenizer.size):
        with pytest.raises(IndexError):
            tokenizer.piece(none)
    inside = tokenizer.encode("cat", bos=False)
    assert tokenizer.encode_rendered("<s>cat</s>cat") == [1, *inside, 2, *inside]


def test_content_is_the_file(pair: tuple[Path, Path]) -> None:
    assert open_tokenizer(pair[1]).content() == pair[1].read_bytes()


SPOILT = {
    "empty": (lambda data: b"", "not a llama2.c tokenizer, or is byte-swapped"),
    "byte-swapped": (
        lambda data: data[3::-1] + data[4:],
        "or is byte-swapped: its longest piece would have 117440512 of",
    ),
    "scores and lengths swapped": (
        lambda data: data[:4] + data[7:3:-1] + data[11:7:-1] + data[12:],
        "ends inside piece 0",
    ),
    "a length too large": (
        lambda data: data[:8] + b"\x64" + data[9:],
        "piece 0 has score 0 and 100",
    ),
    "no length": (lambda data: data[:8] + b"\0" + data[9:], "piece 0 has score 0 and 0 bytes"),
    "no score": (lambda data: data[:4] + b"\0\0\xc0\x7f" + data[8:], "piece 0 has score nan"),
    "cut in a piece": (lambda data: data[:-1], r"ends inside piece 309: it is truncated"),
    "cut in a length": (lambda data: data[:18], r"ends inside piece 1: it is truncated"),
    "oversized": (lambda data: data + b"ab", r"ends inside piece 310"),
    "other specials": (lambda data: data.replace(b"\n<s>\n", b"<bos>"), r"piece 1 should be"),
    "few pieces": (lambda data: data[: data.index(b"<0x01>") + 6], r"piece 5 should be b'<0x02>'"),
    "no text": (lambda data: data[:-1] + b"\xff", "a piece is not UTF-8"),
    "a checkpoint": (lambda data: struct.pack("<7i", 64, 172, 5, 8, 4, 512, 512) + data, "piece"),
}


@pytest.mark.parametrize("spoil, message", SPOILT.values(), ids=SPOILT.keys())
def test_a_file_that_is_no_such_file_is_refused(
    pair: tuple[Path, Path], tmp_path: Path, spoil, message: str
) -> None:
    path = tmp_path / "spoilt.bin"
    path.write_bytes(spoil(pair[1].read_bytes()))
    with pytest.raises(UserError, match=rf"spoilt\.bin.*{message}"):
        open_tokenizer(path)


def test_a_path_that_is_no_file_is_reported(tmp_path: Path) -> None:
    (tmp_path / "folder.bin").mkdir()
    for name in ("none.bin", "folder.bin"):
        with pytest.raises(UserError, match=rf"{name}"):
            open_tokenizer(tmp_path / name)
