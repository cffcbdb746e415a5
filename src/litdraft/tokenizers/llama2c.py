"""llama2.c's tokenizer `.bin`: the pieces and scores of a SentencePiece BPE.

The layout is that of tokenizer.py in github.com/karpathy/llama2.c, little-endian: the longest
piece's length (uint32), then of each piece its score (float32), its length (uint32) and its bytes.
How many pieces there are is not said: that is the model's vocabulary.
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
from litdraft.tokenizers.bpe import merged
from litdraft.tokenizers.chat_template import find_template

LONGEST = struct.Struct("<I")
ENTRY = struct.Struct("<fI")
BYTES = 3  # the id of byte 0, behind <unk>, <s>, </s>; run.c takes that for granted
LEARNED = BYTES + 256  # the first id that merging can make
# In the file a space is a space, and BOS and EOS have lines of their own.
SPELLED = (b"<unk>", b"\n<s>\n", b"\n</s>\n", *(f"<0x{byte:02X}>".encode() for byte in range(256)))
SPACE = "\u2581"  # how a space looks in a raw piece
SHORT = 32  # letters of a word worth remembering: some scripts put no spaces


class Llama2CTokenizer(Tokenizer):
    """Encodes as run.c does: a space put before the text, each letter looked up (its bytes where it
    is no piece), then the best-scored neighbours merged.

    Equal to SentencePiece's own encoding, but for what the file does not say: a model that was
    trained to drop spaces at the ends and repeated ones (`remove_extra_whitespaces`; stories260K's
    was) keeps them here and in run.c, and U+2581 is a letter here and in run.c, a space there. Two
    ways of run.c are not followed: it ends a text at its first zero byte, and would merge letters
    to a special piece.
    """

    bos = 1
    eos = 2

    def __init__(self, path: Path) -> None:
        self._file = _read(path)
        self._spellings, scores = _parsed(path, self._file)
        self.size = len(self._spellings)
        self._ids = {piece: LEARNED + i for i, piece in enumerate(self._spellings[LEARNED:])}
        self._scores = dict(zip(self._spellings[LEARNED:], scores[LEARNED:], strict=True))
        # Where no piece has a space behind a letter, none is merged across, and words stand alone.
        apart = not any(" " in piece.lstrip(" ") for piece in self._ids)
        self._words = re.compile(" *[^ ]+| +" if apart else ".+", re.DOTALL)
        self._short = functools.lru_cache(1 << 16)(self._word)
        self.template = find_template(path.parent, self.piece(self.bos), self.piece(self.eos))

    def content(self) -> bytes:
        return self._file

    def piece(self, token: int) -> str:
        if not 0 <= token < self.size:
            raise IndexError(f"no piece has id {token}")
        spelling = self._spellings[token]
        if token in (self.bos, self.eos):
            return spelling.strip("\n")
        return spelling.replace(" ", SPACE)

    def _encode(self, text: str) -> list[int]:
        words = self._words.findall(f" {text}" if text else "")
        return [token for word in words for token in self._known(word)]

    def _known(self, word: str) -> list[int]:
        """Most words of a text come again."""
        return self._short(word) if len(word) < SHORT else self._word(word)

    def _word(self, word: str) -> list[int]:
        ids: list[int] = []
        for piece in merged(list(word), self._scores):
            token = self._ids.get(piece)
            ids += [BYTES + byte for byte in piece.encode()] if token is None else [token]
        return ids

    def _decode(self, ids: list[int]) -> str:
        """Bytes that are no UTF-8 become U+FFFD; the space put before a text is taken away."""
        raw = b"".join(
            bytes([i - BYTES]) if BYTES <= i < LEARNED else self._spellings[i].encode() for i in ids
        )
        return raw.decode(errors="replace").removeprefix(" ")


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error


def _parsed(path: Path, file: bytes) -> tuple[list[str], list[float]]:
    """All pieces, as the file spells them, and their scores; UserError if it is no tokenizer."""
    entries = list(_entries(path, file))
    for i, spelled in enumerate(SPELLED):
        if i >= len(entries) or entries[i][0] != spelled:
            raise UserError(
                f"{path} is no tokenizer that run.c reads: piece {i} should be {spelled!r}, "
                "because <unk>, BOS, EOS and all bytes stand first; export it with llama2.c's "
                "tokenizer.py"
            )
    try:
        return [piece.decode() for piece, _ in entries], [score for _, score in entries]
    except UnicodeDecodeError as error:
        raise UserError(
            f"{path} is no llama2.c tokenizer: a piece is no UTF-8 ({error})"
        ) from error


def _entries(path: Path, file: bytes) -> Iterator[tuple[bytes, float]]:
    """Every piece and its score; UserError where lengths do not fit the file."""
    longest = LONGEST.unpack_from(file)[0] if len(file) >= LONGEST.size else 0
    if not 0 < longest <= len(file):
        raise UserError(
            f"{path} is no llama2.c tokenizer, or byte-swapped: its longest piece would have "
            f"{longest} of the file's {len(file)} bytes"
        )
    i, at = 0, LONGEST.size
    while at < len(file):
        left = len(file) - at - ENTRY.size
        score, length = ENTRY.unpack_from(file, at) if left >= 0 else (0.0, 0)
        if left < length:
            raise UserError(f"{path} ends inside piece {i}: it is truncated")
        if not 0 < length <= longest or not isfinite(score):
            raise UserError(
                f"{path} is no llama2.c tokenizer: piece {i} has score {score:g} and {length} "
                f"bytes, where the longest is said to have {longest}"
            )
        at += ENTRY.size + length
        i += 1
        yield file[at - length : at], score
