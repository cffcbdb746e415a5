"""Tokenised text, as Moses and the WMT toy sets write it, back to normal text."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from functools import cache
from itertools import islice
from typing import Any

import sacremoses

# French puts a space before ; : ! ? in normal text, so these are no evidence.
MARKS = re.compile(r"&(?:apos|quot|amp|lt|gt|#91|#93|#124);|@-@| [,.।](?= |$)")
MIN_SHARE = 0.3  # of lines with a mark: above 0.9 in tokenised text, below 0.02 in normal text
SAMPLE_LINES = 1000

# sacremoses would take these for the start of a quotation: 's, l', and ' s or " s in web text.
CONTRACTIONS = re.compile(r"(?<=\w) (?:&apos;|')(?=(?:s|t|re|ve|ll|d|m)\b)")
ELISIONS = re.compile(r"\b([cdjln]|qu) (?:&apos;|') ?(?=\w)", re.IGNORECASE)
SPLIT_CONTRACTIONS = re.compile(r"(?<=\w) (?:&apos;|['\"]) (?=(?:s|t|re|ve|ll|d|m) \w)")

# sacremoses leaves these separate, or joins them to the wrong side (20 €for).
SLASHES = re.compile(r" ?/ ?")
AMOUNTS = re.compile(r"(?<=\d )([€£$])(?=[^\W\d])")
UNDERSCORES = re.compile(r"(?<=\w) _ (?=\w)")
TIMES = re.compile(r"\b(\d\d?): (?=\d\d\b)")
SOFT_HYPHENS = re.compile(r"(?<=[^\W\d]) ?\u00ad ?(?=[^\W\d])")


def looks_tokenised(lines: Iterable[str]) -> bool:
    """Whether many of the first lines have escapes like &apos; or a space before a comma or full
    stop."""
    first = [line for line in islice(lines, SAMPLE_LINES) if line.strip()]
    return sum(bool(MARKS.search(line)) for line in first) > MIN_SHARE * len(first)


def detokenized(line: str, language: str) -> str:
    """A tokenised line as normal text; `language` is a two-letter code."""
    line = CONTRACTIONS.sub("&apos;", line)
    line = ELISIONS.sub(r"\1&apos;", line)
    if language == "en":
        line = SPLIT_CONTRACTIONS.sub("&apos;", line)
    text: str = _detokenizer(language).detokenize(line.split())
    text = SLASHES.sub("/", UNDERSCORES.sub("_", text))
    text = TIMES.sub(r"\1:", AMOUNTS.sub(r"\1 ", text))
    return SOFT_HYPHENS.sub("", text)


def folded(text: str) -> str:
    """Only letters and digits, in lower case: equal for a tokenised and a normal copy of a text."""
    letters = "".join(filter(str.isalnum, html.unescape(text).casefold()))
    return letters or text.strip()


@cache
def _detokenizer(language: str) -> Any:
    return sacremoses.MosesDetokenizer(language)
