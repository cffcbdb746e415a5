"""What every tokenizer offers: text to ids and back, and the pieces that ids stand for."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

from litdraft.tokenizers.chat_template import ChatTemplate
from litdraft.tokenizers.tiktoken import letters

BYTES = {letter: byte for byte, letter in enumerate(letters())}


class Tokenizer(ABC):
    """Ids run from 0 to size - 1; bos and eos are None where a tokenizer has none. `template`
    spells conversations, where the model has learned any."""

    size: int
    bos: int | None
    eos: int | None
    template: ChatTemplate | None = None
    letters: bool = False  # pieces are spelled in GPT-2's letters, one a byte

    def encode(self, text: str, bos: bool = True) -> list[int]:
        """The ids of a text, behind BOS if asked for and there is one."""
        start = [self.bos] if bos and self.bos is not None else []
        return start + self._encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of some ids; BOS, EOS and a padded vocabulary's spare ids stand for none."""
        ends = (self.bos, self.eos)
        return self._decode([i for i in ids if 0 <= i < self.size and i not in ends])

    def encode_rendered(self, text: str) -> list[int]:
        """The ids of a text in which a template has spelled out special tokens, which `_encode`
        would spell by letters; no BOS is added."""
        marks = {self.piece(i): i for i in (self.bos, self.eos) if i is not None}
        parts = re.split(f"({'|'.join(map(re.escape, marks))})", text) if marks else [text]
        ids = ([marks[part]] if part in marks else self._encode(part) for part in parts if part)
        return [token for some in ids for token in some]

    def special(self, token: int) -> bool:
        """Whether an id marks something and is no text."""
        return token in (self.bos, self.eos)

    def content(self) -> bytes:
        """All that decides how it encodes: two tokenizers of the same content are the same."""
        return repr((type(self), self.size)).encode()

    @abstractmethod
    def piece(self, token: int) -> str:
        """The raw piece of one id, as the tokenizer's file spells it; IndexError if none."""

    @abstractmethod
    def _encode(self, text: str) -> list[int]: ...

    @abstractmethod
    def _decode(self, ids: list[int]) -> str: ...


def spelled(tokenizer: Tokenizer, token: int) -> str | None:
    """A piece; None for an id that has none."""
    try:
        return tokenizer.piece(token)
    except IndexError:
        return None


def bytes_of(tokenizer: Tokenizer, token: int) -> bytes | None:
    """What a piece spells, however its tokenizer writes spaces and bytes; None for special ones."""
    piece = spelled(tokenizer, token)
    if piece is None or tokenizer.special(token):
        return None
    if tokenizer.letters:
        return bytes(BYTES[letter] for letter in piece) if set(piece) <= BYTES.keys() else None
    if re.fullmatch("<0x[0-9A-F]{2}>", piece):
        return bytes([int(piece[3:5], 16)])
    return piece.replace("▁", " ").encode()
