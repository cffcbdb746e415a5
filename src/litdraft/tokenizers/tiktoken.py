"""Llama 3's tokenizer.model: a line a token, its bytes in base64 and its rank, as tiktoken writes.

The split pattern and the order of the 256 special tokens are those of `tokenizer.py` in
github.com/meta-llama/llama3 and llama-models; the names are those of Llama 3.1's tokenizer.json,
which calls one id that Llama 3 kept in reserve <|eom_id|>.
"""

from __future__ import annotations

import base64
import re
from pathlib import Path

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, pre_tokenizers

from litdraft.errors import UserError

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


def is_tiktoken(path: Path) -> bool:
    """By the first line; SentencePiece's models begin with a byte that no base64 has."""
    try:
        with path.open("rb") as file:
            return LINE.fullmatch(file.readline(1000)) is not None
    except OSError:
        return False


def read_tiktoken(path: Path) -> tokenizers.Tokenizer:
    """The byte-level BPE of a file, in the letters that a tokenizer.json has for bytes.

    tiktoken joins the neighbours whose bytes together have the lowest rank, so every cut of a token
    into two tokens is a merge (transformers' TikTokenConverter takes the same ones). UserError if a
    line or a rank is missing.
    """
    ranks = _ranks(path)
    by_byte = letters()
    spelled = {token: "".join(by_byte[byte] for byte in token) for token in ranks}
    merges = []
    for token in sorted(ranks, key=ranks.__getitem__):
        cuts = [(token[:i], token[i:]) for i in range(1, len(token))]
        pairs = [(ranks[a], ranks[b], a, b) for a, b in cuts if a in ranks and b in ranks]
        merges += [(spelled[a], spelled[b]) for *_, a, b in sorted(pairs)]
    vocabulary = {spelled[token]: rank for token, rank in ranks.items()}
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
                f"{path}: line {number} is no token in base64 and its rank: restore the file"
            ) from None
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise UserError(
            f"{path} has {len(ranks)} tokens, but their ranks are not 0 to {len(ranks) - 1}: "
            "restore the file"
        )
    if lost := [byte for byte in range(256) if bytes([byte]) not in ranks]:
        raise UserError(f"{path} has no token for the byte {lost[0]}: restore the file")
    return ranks


def letters() -> list[str]:
    """The printable letter of each byte that byte-level BPE writes it as (GPT-2's encoder.py):
    itself where Latin-1 prints it, else the next one from U+0100 on."""
    printed = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    spare = iter(range(0x100, 0x200))
    return [chr(byte if byte in printed else next(spare)) for byte in range(256)]


def _specials() -> list[str]:
    """All special tokens in their order; those without a name are numbered."""
    numbers = iter(range(SPECIALS))
    return [NAMED.get(i) or f"<|reserved_special_token_{next(numbers)}|>" for i in range(SPECIALS)]
