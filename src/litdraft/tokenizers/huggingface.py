"""Hugging Face's tokenizer.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import tokenizers

from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.chat_template import find_template


class HFTokenizer(Tokenizer):
    """A Hugging Face tokenizer.json; files in the same folder name BOS and EOS."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = self._read(path)
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {i: token.content for i, token in added.items() if token.special}
        self.size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self.byte_level = _is_byte_level(self._tokenizer.decoder)
        self.bos = self._special_id(path.parent, "bos_token")
        self.eos = self._special_id(path.parent, "eos_token")
        self.template = find_template(path.parent, *self.end_pieces())

    def content(self) -> bytes:
        return self._tokenizer.to_str().encode()

    def piece(self, token: int) -> str:
        piece = self._special.get(token) or self._tokenizer.id_to_token(token)
        if piece is None:
            raise IndexError(f"no piece has id {token}")
        return piece

    def special(self, token: int) -> bool:
        return token in self._special

    def encode_rendered(self, text: str) -> list[int]:
        return self._encode(text)  # the library finds special tokens in any text

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _decode(self, ids: list[int]) -> str:
        # Special ids are removed here; the library misses those that its normalizer changes.
        text_ids = [i for i in ids if i not in self._special]
        return self._tokenizer.decode(text_ids, skip_special_tokens=False)

    def _read(self, path: Path) -> tokenizers.Tokenizer:
        if not path.is_file():
            raise UserError(f"{path} does not exist: give a tokenizer.json")
        try:
            return tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{path} is not readable as a tokenizer.json ({error})") from error

    def _special_id(self, folder: Path, key: str) -> int | None:
        """The id of bos_token or eos_token; None if no file names it."""
        for path in (folder / "tokenizer_config.json", folder / "special_tokens_map.json"):
            name: Any = read_json(path).get(key) if path.exists() else None
            if isinstance(name, dict):
                name = name.get("content")
            if name is None:
                continue
            if not isinstance(name, str) or (token := self._tokenizer.token_to_id(name)) is None:
                raise UserError(f"{path}: {key} is {name!r}, which tokenizer.json does not know")
            return token
        return None


def _is_byte_level(decoder: Any) -> bool:
    """Whether a tokenizer.json's decoder reads each letter of a piece as one byte."""
    state = json.loads(decoder.__getstate__()) if decoder is not None else {}
    return any(part.get("type") == "ByteLevel" for part in state.get("decoders", [state]))
