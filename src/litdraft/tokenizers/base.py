"""What every tokenizer offers: text to ids and back, and the piece of each id."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from litdraft.tokenizers.chat_template import ChatTemplate


class Tokenizer(ABC):
    """Ids are 0 to size - 1; bos and eos are None if a tokenizer has none. `template`: its chat
    template, if it has one."""

    size: int
    bos: int | None
    eos: int | None
    template: ChatTemplate | None = None
    byte_level: bool = False  # pieces are written in GPT-2's letters, one per byte

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """The ids of a text, after BOS if requested and there is one."""
        start = [self.bos] if bos and self.bos is not None else []
        return start + self._encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; BOS, EOS and ids without a piece give no text."""
        ends = (self.bos, self.eos)
        return self._decode([i for i in ids if 0 <= i < self.size and i not in ends])

    def encode_rendered(self, text: str) -> list[int]:
        """The ids of a text from a chat template, in which BOS and EOS are written as their pieces;
        `_encode` would read them as ordinary letters. No BOS is added."""
        marks = {self.piece(i): i for i in (self.bos, self.eos) if i is not None}
        parts = re.split(f"({'|'.join(map(re.escape, marks))})", text) if marks else [text]
        ids = ([marks[part]] if part in marks else self._encode(part) for part in parts if part)
        return [token for some in ids for token in some]

    def special(self, token: int) -> bool:
        """Whether an id is a special token, not text."""
        return token in (self.bos, self.eos)

    def end_pieces(self) -> tuple[str, str]:
        """The pieces of BOS and EOS; "" if there is none."""
        bos, eos = ("" if i is None else self.piece(i) for i in (self.bos, self.eos))
        return bos, eos

    def content(self) -> bytes:
        """Everything that decides how it encodes: the same content, the same tokenizer."""
        return repr((type(self), self.size)).encode()

    @abstractmethod
    def piece(self, token: int) -> str:
        """The raw piece of one id, as in the tokenizer's file; IndexError if there is none."""

    @abstractmethod
    def _encode(self, text: str) -> list[int]: ...

    @abstractmethod
    def _decode(self, ids: list[int]) -> str: ...


def byte_letters() -> list[str]:
    """The letter that byte-level BPE writes each byte as (GPT-2's encoder.py): the Latin-1
    character if it is printable, otherwise the next one from U+0100 on."""
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printed else next(spare)) for byte in range(256)]


BYTES = {letter: byte for byte, letter in enumerate(byte_letters())}


def piece_or_none(tokenizer: Tokenizer, token: int) -> str | None:
    """The raw piece of an id; None if there is none."""
    try:
        return tokenizer.piece(token)
    except IndexError:
        return None


def bytes_of(tokenizer: Tokenizer, token: int) -> bytes | None:
    """The bytes of a token's text, however its tokenizer writes spaces and bytes; None for special
    tokens."""
    piece = piece_or_none(tokenizer, token)
    if piece is None or tokenizer.special(token):
        return None
    if tokenizer.byte_level:
        return bytes(BYTES[letter] for letter in piece) if set(piece) <= BYTES.keys() else None
    if re.fullmatch("<0x[0-9A-F]{2}>", piece):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()
