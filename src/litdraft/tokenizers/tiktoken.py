"""Llama 3's tokenizer.model in tiktoken's format: one token per line, its bytes in base64 and its
rank.

The split pattern and the order of the 256 special tokens are those of `tokenizer.py` in
github.com/meta-llama/llama3 and llama-models; the names are those of Llama 3.1's tokenizer.json,
which names one of Llama 3's reserved ids <|eom_id|>.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from litdraft.errors import UserError
from litdraft.tokenizers.base import byte_letters
from litdraft.tokenizers.huggingface import HFTokenizer

BOS, EOS = "<|begin_of_text|>", "<|end_of_text|>"
LINE = re.compile(rb"[A-Za-z0-9+/]+={0,2} [0-9]+\s*")
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = 256
NAMED = {
    0: BOS, 1: EOS, 4: "<|finetune_right_pad_id|>", 6: "<|start_header_id|>",
    7: "<|end_header_id|>", 8: "<|eom_id|>", 9: "<|eot_id|>", 10: "<|python_tag|>",
}  # fmt: skip


class TiktokenTokenizer(HFTokenizer):
    """Llama 3's tokenizer.model, with the ids and pieces of Llama 3.1's tokenizer.json."""

    def _read(self, path: Path) -> tokenizers.Tokenizer:
        return read_tiktoken(path)

    def _special_id(self, folder: Path, key: str) -> int | None:
        token: int | None = self._tokenizer.token_to_id(BOS if key == "bos_token" else EOS)
        return token


def is_tiktoken(path: Path) -> bool:
    """Checks the first line; SentencePiece models begin with a byte that is not base64."""
    try:
        with path.open("rb") as file:
            return LINE.fullmatch(file.readline(1000)) is not None
    except OSError:
        return False


def read_tiktoken(path: Path) -> tokenizers.Tokenizer:
    """The byte-level BPE of a file, with bytes written as letters as in a tokenizer.json.

    tiktoken merges the neighbours whose joined bytes have the lowest rank, so every split of a
    token into two tokens is a merge (as in transformers' TikTokenConverter). UserError if a line
    or a rank is missing.
    """
    ranks = _ranks(path)
    by_byte = byte_letters()
    letters = {token: "".join(by_byte[byte] for byte in token) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        splits = [(token[:i], token[i:]) for i in range(1, len(token))]
        pairs = [(ranks[a], ranks[b], a, b) for a, b in splits if a in ranks and b in ranks]
        merges += [(letters[a], letters[b]) for *_, a, b in sorted(pairs)]
    vocabulary = {letters[token]: rank for token, rank in ranks.items()}
    tokenizer = tokenizers.Tokenizer(models.BPE(vocabulary, merges, ignore_merges=True))
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    spell = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, spell])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, normalized=False) for name in _specials()])
    return tokenizer


def _ranks(path: Path) -> dict[bytes, int]:
    ranks = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except ValueError:  # binascii's too
            raise UserError(
                f"{path}: line {number} is not a base64 token and its rank: restore the file"
            ) from None
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise UserError(
            f"{path} has {len(ranks)} tokens, but their ranks are not 0 to {len(ranks) - 1}: "
            "restore the file"
        )
    if missing := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise UserError(f"{path} has no token for the byte {missing[0]}: restore the file")
    return ranks


def _specials() -> list[str]:
    """All special tokens in order; those without a name are numbered."""
    numbers = iter(range(SPECIALS))
    return [NAMED.get(i) or f"<|reserved_special_token_{next(numbers)}|>" for i in range(SPECIALS)]
