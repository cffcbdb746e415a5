"""Opening a tokenizer file of any format, and comparing tokenizers with models."""

from __future__ import annotations

from pathlib import Path

from litdraft.checkpoints.hub import local_path
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer, piece_or_none
from litdraft.tokenizers.huggingface import HFTokenizer
from litdraft.tokenizers.llama2c import Llama2CTokenizer
from litdraft.tokenizers.sentencepiece import SentencePieceTokenizer
from litdraft.tokenizers.tiktoken import TiktokenTokenizer, is_tiktoken

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "spiece.model")  # the first in a folder
MAX_MULTIPLE = 128  # the largest multiple that vocabularies are rounded up to
MAX_SPARE = 0.02  # the largest fraction of rows without a token


def open_tokenizer(path: str | Path) -> Tokenizer:
    """Open a SentencePiece or tiktoken `.model`, a tokenizer.json, llama2.c's tokenizer `.bin`, or
    a folder with one of the first three. In a folder, a tokenizer.json is preferred, because it has
    added tokens; T5's SentencePiece model is spiece.model. OWNER/NAME is a repository of the
    hub."""
    path = local_path(path, weights=False)
    if path.is_dir():
        files = (path / name for name in TOKENIZER_FILES)
        path = next((file for file in files if file.is_file()), path)
    if path.suffix == ".model":
        if is_tiktoken(path):
            return TiktokenTokenizer(path)
        return SentencePieceTokenizer(path)
    if path.suffix == ".json":
        return HFTokenizer(path)
    if path.suffix == ".bin":
        return Llama2CTokenizer(path)
    raise UserError(
        f"{path} is not a tokenizer: give a SentencePiece or tiktoken .model, a tokenizer.json, "
        "llama2.c's .bin, or a folder with a tokenizer.model or a tokenizer.json"
    )


def check_tokenizer(tokenizer: Tokenizer, vocabulary: int) -> None:
    """UserError unless the tokenizer's ids match the model's rows.

    Accepted are spare rows if the vocabulary was rounded up to a multiple of at most 128, or if
    they are few (Qwen has up to 0.3 %, Phi-2 1.8 %), and special tokens without rows in a text
    model (Gemma 3's image tokens).
    """
    rounded = (-(-tokenizer.size // m) * m for m in range(1, MAX_MULTIPLE + 1))
    spare, without_row = vocabulary - tokenizer.size, range(vocabulary, tokenizer.size)
    few = abs(spare) < MAX_SPARE * vocabulary and all(map(tokenizer.special, without_row))
    if vocabulary not in rounded and not few:
        raise UserError(
            f"the tokenizer has {tokenizer.size} pieces, but the model's vocabulary is "
            f"{vocabulary}: give the tokenizer that the model was trained with"
        )


def first_difference(one: Tokenizer, other: Tokenizer) -> int | None:
    """The first id with a different piece, or with a piece in only one tokenizer; None if all are
    the same."""
    shorter = min(one.size, other.size)
    for token in range(shorter):
        if piece_or_none(one, token) != piece_or_none(other, token):
            return token
    return None if one.size == other.size else shorter
