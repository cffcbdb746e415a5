"""Text to token ids and back: files of SentencePiece, Hugging Face, llama2.c and tiktoken."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers

from litdraft.checkpoints.hub import local
from litdraft.errors import UserError
from litdraft.io import read_json, replacing
from litdraft.tokenizers.base import Tokenizer, spelled
from litdraft.tokenizers.chat_template import find_template
from litdraft.tokenizers.llama2c import Llama2CTokenizer
from litdraft.tokenizers.tiktoken import BOS, EOS, is_tiktoken, read_tiktoken

__all__ = ["Tokenizer", "check_tokenizer", "open_tokenizer", "same_tokens", "train_sentencepiece"]

INSIDE = ("tokenizer.json", "tokenizer.model", "spiece.model")  # a folder's, the first there is
PADDING = 128  # the largest multiple that vocabularies are rounded up to
SPARE = 0.02  # the largest share of rows that no token has


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece `.model`."""

    def __init__(self, path: Path) -> None:
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path} is not readable as a SentencePiece model ({error})") from error
        self.size = self._processor.get_piece_size()
        self.bos = _known(self._processor.bos_id())
        self.eos = _known(self._processor.eos_id())
        bos, eos = ("" if i is None else self.piece(i) for i in (self.bos, self.eos))
        self.template = find_template(path.parent, bos, eos)

    def content(self) -> bytes:
        model: bytes = self._processor.serialized_model_proto()
        return model

    def piece(self, token: int) -> str:
        return self._processor.id_to_piece(token)

    def _encode(self, text: str) -> list[int]:
        ids: list[int] = self._processor.encode(text)
        return ids

    def _decode(self, ids: list[int]) -> str:
        text: str = self._processor.decode(ids)
        return text


class HFTokenizer(Tokenizer):
    """A Hugging Face tokenizer.json; BOS and EOS are named by the files beside it."""

    def __init__(self, path: Path) -> None:
        self._tokenizer = self._read(path)
        added = self._tokenizer.get_added_tokens_decoder()
        self._special = {i: token.content for i, token in added.items() if token.special}
        self.size = 1 + max(self._tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
        self.letters = _letters_of(self._tokenizer.decoder)
        self.bos = self._named(path.parent, "bos_token")
        self.eos = self._named(path.parent, "eos_token")
        bos, eos = ("" if i is None else self.piece(i) for i in (self.bos, self.eos))
        self.template = find_template(path.parent, bos, eos)

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
        return self._encode(text)  # the library knows its special tokens in any text

    def _encode(self, text: str) -> list[int]:
        return list(self._tokenizer.encode(text, add_special_tokens=False).ids)

    def _decode(self, ids: list[int]) -> str:
        # Special ids go here, because the library overlooks those that its normalizer changes.
        kept = [i for i in ids if i not in self._special]
        return self._tokenizer.decode(kept, skip_special_tokens=False)

    def _read(self, path: Path) -> tokenizers.Tokenizer:
        if not path.is_file():
            raise UserError(f"{path} does not exist: give a tokenizer.json")
        try:
            return tokenizers.Tokenizer.from_file(str(path))
        except Exception as error:  # the library raises nothing narrower
            raise UserError(f"{path} is not readable as a tokenizer.json ({error})") from error

    def _named(self, folder: Path, key: str) -> int | None:
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


class TiktokenTokenizer(HFTokenizer):
    """Llama 3's tokenizer.model, with the ids and pieces of Llama 3.1's tokenizer.json."""

    def _read(self, path: Path) -> tokenizers.Tokenizer:
        return read_tiktoken(path)

    def _named(self, folder: Path, key: str) -> int | None:
        token: int | None = self._tokenizer.token_to_id(BOS if key == "bos_token" else EOS)
        return token


def _letters_of(decoder: Any) -> bool:
    """Whether a tokenizer.json's decoder takes pieces for letters that stand for bytes."""
    told = json.loads(decoder.__getstate__()) if decoder is not None else {}
    return any(part.get("type") == "ByteLevel" for part in told.get("decoders", [told]))


def _known(token: int) -> int | None:
    """SentencePiece's -1 says that there is no such token."""
    return token if token >= 0 else None


def open_tokenizer(path: str | Path) -> Tokenizer:
    """A SentencePiece or tiktoken `.model`, a tokenizer.json, llama2.c's tokenizer `.bin`, or a
    folder of one of the first three (a tokenizer.json first, which knows added tokens; T5's
    SentencePiece is a spiece.model); OWNER/NAME is a folder of the hub's."""
    path = local(path, weights=False)
    if path.is_dir():
        inside = (path / name for name in INSIDE)
        path = next((file for file in inside if file.is_file()), path)
    if path.suffix == ".model":
        if is_tiktoken(path):
            return TiktokenTokenizer(path)
        return SentencePieceTokenizer(path)
    if path.suffix == ".json":
        return HFTokenizer(path)
    if path.suffix == ".bin":
        return Llama2CTokenizer(path)
    raise UserError(
        f"{path} is no tokenizer: give a SentencePiece or tiktoken .model, a tokenizer.json, "
        "llama2.c's .bin, or a folder that holds a tokenizer.model or a tokenizer.json"
    )


def check_tokenizer(tokenizer: Tokenizer, vocabulary: int) -> None:
    """UserError unless every id has a row of the model and every row an id.

    Spare rows are accepted where a vocabulary was rounded up to a multiple of at most 128, or by
    little: Qwen's have up to 0.3 % of them, Phi-2's 1.8 %; and so are special tokens that a text
    model has no rows for (Gemma 3's for images).
    """
    rounded = (-(-tokenizer.size // m) * m for m in range(1, PADDING + 1))
    spare, beyond = vocabulary - tokenizer.size, range(vocabulary, tokenizer.size)
    few = abs(spare) < SPARE * vocabulary and all(map(tokenizer.special, beyond))
    if vocabulary not in rounded and not few:
        raise UserError(
            f"the tokenizer has {tokenizer.size} pieces, but the model's vocabulary is "
            f"{vocabulary}: give the tokenizer that the model was trained with"
        )


def same_tokens(one: Tokenizer, other: Tokenizer) -> int | None:
    """The first id that means different pieces, or exists on one side only; None if all agree."""
    shorter = min(one.size, other.size)
    for token in range(shorter):
        if spelled(one, token) != spelled(other, token):
            return token
    return None if one.size == other.size else shorter


def train_sentencepiece(texts: Iterable[str], vocabulary: int, path: str | Path) -> Tokenizer:
    """Train a Llama-like BPE: byte fallback, single digits, no normalization, newlines kept.

    UserError if the texts are too few or too plain for so many pieces.
    """
    path = Path(path)
    model = io.BytesIO()
    lines = (line for text in texts for line in re.split(r"\n+", text) if line)
    try:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=lines,
            model_writer=model,
            model_type="bpe",
            vocab_size=vocabulary,
            byte_fallback=True,
            split_digits=True,
            normalization_rule_name="identity",
            add_dummy_prefix=True,
            remove_extra_whitespaces=False,
            user_defined_symbols=["\n"],
            unk_id=0,
            bos_id=1,
            eos_id=2,
            pad_id=-1,
            max_sentence_length=1 << 30,  # longer lines would be left out without a word
            num_threads=2,
            minloglevel=2,
        )
    except (OSError, RuntimeError) as error:
        raise UserError(f"no tokenizer of {vocabulary} pieces can be trained ({error})") from error
    with replacing(path) as temporary:
        temporary.write_bytes(model.getvalue())
    return SentencePieceTokenizer(path)
