"""SentencePiece tokenizers: reading a `.model`, and training one."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from pathlib import Path

import sentencepiece

from litdraft.errors import UserError
from litdraft.io import replacing
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.chat_template import find_template


class SentencePieceTokenizer(Tokenizer):
    """A SentencePiece `.model`."""

    def __init__(self, path: Path) -> None:
        try:
            self._processor = sentencepiece.SentencePieceProcessor(model_file=str(path))
        except (OSError, RuntimeError) as error:
            raise UserError(f"{path} is not readable as a SentencePiece model ({error})") from error
        self.size = self._processor.get_piece_size()
        self.bos = _id_or_none(self._processor.bos_id())
        self.eos = _id_or_none(self._processor.eos_id())
        self.template = find_template(path.parent, *self.end_pieces())

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


def _id_or_none(token: int) -> int | None:
    """SentencePiece gives -1 if there is no such token."""
    return token if token >= 0 else None


def train_sentencepiece(texts: Iterable[str], vocabulary: int, path: str | Path) -> Tokenizer:
    """Train a Llama-like BPE: byte fallback, single digits, no normalization, newlines kept.

    UserError if the text is too short for this vocabulary.
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
            max_sentence_length=1 << 30,  # longer lines would be skipped silently
            num_threads=2,
            minloglevel=2,
        )
    except (OSError, RuntimeError) as error:
        raise UserError(
            f"a tokenizer with {vocabulary} pieces cannot be trained ({error}): give more text or "
            "a lower tokenizer_pieces"
        ) from error
    with replacing(path) as temporary:
        temporary.write_bytes(model.getvalue())
    return SentencePieceTokenizer(path)
