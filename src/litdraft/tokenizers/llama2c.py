"""llama2.c's tokenizer `.bin`: the pieces and scores of a SentencePiece BPE.

The layout is that of tokenizer.py in github.com/karpathy/llama2.c, little-endian: the longest
piece's length (uint32), then for each piece its score (float32), its length (uint32) and its bytes.
The number of pieces is not in the file; it is the model's vocabulary.
"""

from __future__ import annotations

import functools
import re
import struct
from collections.abc import Iterator
from math import isfinite
from pathlib import Path

from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.bpe import merge_pairs
from litdraft.tokenizers.chat_template import find_template

LONGEST = struct.Struct("<I")
ENTRY = struct.Struct("<fI")
BYTES = 3  # the id of byte 0, after <unk>, <s>, </s>; run.c assumes it
LEARNED = BYTES + 256  # the first id that a merge can give
# In the file a space is a space, and BOS and EOS are on separate lines.
FIRST_PIECES = (
    b"<unk>",
    b"\n<s>\n",
    b"\n</s>\n",
    *(f"<0x{byte:02X}>".encode() for byte in range(256)),
)
SPACE = "\u2581"  # a space in a raw piece
SHORT = 32  # letters; longer words are not cached, because some scripts have no spaces


class Llama2CTokenizer(Tokenizer):
    """Encodes as run.c does: put a space before the text, look up each letter (its bytes if it is
    not a piece), then merge the neighbours with the highest score.

    Equal to SentencePiece's own encoding, except for what the file does not contain: SentencePiece
    drops outer and repeated spaces if the model was trained so (`remove_extra_whitespaces`, as
    stories260K's), and reads U+2581 as a space; this class and run.c do neither. Unlike run.c, a
    text does not end at its first zero byte, and letters are never merged to a special piece.
    """

    bos = 1
    eos = 2

    def __init__(self, path: Path) -> None:
        self._file = _read(path)
        self._pieces, scores = _parsed(path, self._file)
        self.size = len(self._pieces)
        self._ids = {piece: LEARNED + i for i, piece in enumerate(self._pieces[LEARNED:])}
        self._scores = dict(zip(self._pieces[LEARNED:], scores[LEARNED:], strict=True))
        # If no piece has a space after a letter, no merge crosses words: encode each alone.
        separate = not any(" " in piece.lstrip(" ") for piece in self._ids)
        self._words = re.compile(" *[^ ]+| +" if separate else ".+", re.DOTALL)
        self._short = functools.lru_cache(1 << 16)(self._word)
        self.template = find_template(path.parent, *self.end_pieces())

    def content(self) -> bytes:
        return self._file

    def piece(self, token: int) -> str:
        if not 0 <= token < self.size:
            raise IndexError(f"no piece has id {token}")
        piece = self._pieces[token]
        if token in (self.bos, self.eos):
            return piece.strip("\n")
        return piece.replace(" ", SPACE)

    def _encode(self, text: str) -> list[int]:
        words = self._words.findall(f" {text}" if text else "")
        return [token for word in words for token in self._cached_word(word)]

    def _cached_word(self, word: str) -> list[int]:
        """From a cache, because most words of a text are repeated."""
        return self._short(word) if len(word) < SHORT else self._word(word)

    def _word(self, word: str) -> list[int]:
        ids: list[int] = []
        for piece in merge_pairs(list(word), self._scores):
            token = self._ids.get(piece)
            ids += [BYTES + byte for byte in piece.encode()] if token is None else [token]
        return ids

    def _decode(self, ids: list[int]) -> str:
        """Bytes that are not UTF-8 become U+FFFD; the space before the text is removed."""
        raw = b"".join(
            bytes([i - BYTES]) if BYTES <= i < LEARNED else self._pieces[i].encode() for i in ids
        )
        return raw.decode(errors="replace").removeprefix(" ")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _parsed(path: Path, file: bytes) -> tuple[list[str], list[float]]:
    """All pieces, as in the file, and their scores; UserError if it is not a tokenizer."""
    entries = list(_entries(path, file))
    for i, expected in enumerate(FIRST_PIECES):
        if i >= len(entries) or entries[i][0] != expected:
            raise UserError(
                f"{path} is not a tokenizer for run.c: piece {i} should be {expected!r}, "
                "because <unk>, BOS, EOS and all bytes come first; export it with llama2.c's "
                "tokenizer.py"
            )
    try:
        return [piece.decode() for piece, _ in entries], [score for _, score in entries]
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is not a llama2.c tokenizer: a piece is not UTF-8 ({error})"
        ) from error


def _entries(path: Path, file: bytes) -> Iterator[tuple[bytes, float]]:
    """Every piece and its score; UserError if the lengths do not fit the file."""
    longest = LONGEST.unpack_from(file)[0] if len(file) >= LONGEST.size else 0
    if not 0 < longest <= len(file):
        raise UserError(
            f"{path} is not a llama2.c tokenizer, or is byte-swapped: its longest piece would have "
            f"{longest} of the file's {len(file)} bytes"
        )
    i, offset = 0, LONGEST.size
    while offset < len(file):
        left = len(file) - offset - ENTRY.size
        score, length = ENTRY.unpack_from(file, offset) if left >= 0 else (0.0, 0)
        if left < length:
            raise UserError(f"{path} ends inside piece {i}: it is truncated")
        if not 0 < length <= longest or not isfinite(score):
            raise UserError(
                f"{path} is not a llama2.c tokenizer: piece {i} has score {score:g} and {length} "
                f"bytes, but the longest should have {longest}"
            )
        offset += ENTRY.size + length
        i += 1
        yield file[offset - length : offset], score
