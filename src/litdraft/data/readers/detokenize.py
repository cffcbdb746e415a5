"""Tokenised text, as Moses and the WMT toy sets write it, back to how people write."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Any

import sacremoses

# French sets ; : ! ? apart in normal text, so they prove nothing.
MARKS = re.compile(r"&(?:apos|quot|amp|lt|gt|#91|#93|#124);|@-@| [,.।](?= |$)")
SHARE = 0.3  # of lines with a mark: above 0.9 in tokenised text, below 0.02 in normal text
LOOKED_AT = 1000  # lines

# What sacremoses would mistake for the start of a quotation: 's, l', and ' s or " s in web text.
CONTRACTIONS = re.compile(r"(?<=\w) (?:&apos;|')(?=(?:s|t|re|ve|ll|d|m)\b)")
ELISIONS = re.compile(r"\b([cdjln]|qu) (?:&apos;|') ?(?=\w)", re.IGNORECASE)
TORN_CONTRACTIONS = re.compile(r"(?<=\w) (?:&apos;|['\"]) (?=(?:s|t|re|ve|ll|d|m) \w)")

# What sacremoses leaves apart, or joins to the wrong side (20 €for).
SLASHES = re.compile(r" ?/ ?")
AMOUNTS = re.compile(r"(?<=\d )([€£$])(?=[^\W\d])")
UNDERSCORES = re.compile(r"(?<=\w) _ (?=\w)")
TIMES = re.compile(r"\b(\d\d?): (?=\d\d\b)")
SOFT_HYPHENS = re.compile(r"(?<=[^\W\d]) ?\u00ad ?(?=[^\W\d])")


def looks_tokenised(lines: Iterable[str]) -> bool:
    """Whether many of the first lines hold escapes like &apos; or a comma or stop set apart."""
    first = [line for line in islice(lines, LOOKED_AT) if line.strip()]
    return sum(bool(MARKS.search(line)) for line in first) > SHARE * len(first)


def restored(line: str, language: str) -> str:
    """A tokenised line as normal text; `language` is a two-letter code."""
    line = CONTRACTIONS.sub("&apos;", line)
    line = ELISIONS.sub(r"\1&apos;", line)
    if language == "en":
        line = TORN_CONTRACTIONS.sub("&apos;", line)
    text: str = _detokenizer(language).detokenize(line.split())
    text = SLASHES.sub("/", UNDERSCORES.sub("_", text))
    text = TIMES.sub(r"\1:", AMOUNTS.sub(r"\1 ", text))
    return SOFT_HYPHENS.sub("", text)


def folded(text: str) -> str:
    """Letters and digits alone, in lower case: a tokenised and a normal copy become the same."""
    letters = "".join(filter(str.isalnum, html.unescape(text).casefold()))
    return letters or text.strip()


@cache
def _detokenizer(language: str) -> Any:
    return sacremoses.MosesDetokenizer(language)
