"""Paragraphs of books as runs of sentences that can be read alone."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from litdraft.tokenizers.abbreviations import INITIALS, WORDS

# What the maker of a book chose, and nobody could restore.
STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "`": "'", "_": None})
DASHES = re.compile(r"--+|[–―]")
# Where a sentence may end and the next begin.
BORDER = re.compile(r"(?<=[.!?])([\"')]*) (?=[\"'(]*[A-Z])")
ABBREVIATION = re.compile(rf"\b(?:[{INITIALS}]|{'|'.join(WORDS)}|i\.e|e\.g)\.$")
WHOLE = re.compile(r"[\"'(]*[A-Z].*[.!?][\"')]*")
HEADING = re.compile(
    r"(?:chapter|book|part|volume|letter|stave|act|scene) (?:\d+|[ivxlc]+)\b", re.I
)
SHOUTED = re.compile(r"[A-Z]{2}")
STRANGE = re.compile(r"[^\w\s.,;:!?\"'()&—-]")
# A quotation between single marks, and half of one. An 'em looks like a beginning, and counts as
# one; the others' is no end, because no stop or comma stands before its mark.
SINGLE = re.compile(r"(?<!\w)'(?=\w).*?(?<=[.,;:!?—])'(?!\w)")
SINGLE_END = re.compile(r"(?<!\w)'(?=\w)|(?<=[.,;:!?—])'(?!\w)")
WORD = re.compile(r"\w+(?:['-]\w+)*")


class Sentence(NamedTuple):
    """quoted: it begins inside of a quotation."""

    text: str
    words: int
    quoted: bool

    @property
    def fair(self) -> bool:
        """A whole sentence of nothing but words, none of which shouts: headings do, and the
        beginnings of chapters."""
        odd = SHOUTED.search(self.text) or STRANGE.search(self.text)
        return odd is None and WHOLE.fullmatch(self.text) is not None


def lowered(text: str) -> str:
    """Its words in lower case and nothing else. A hyphen or an apostrophe inside a word is how that
    is spelled, and stays."""
    return " ".join(WORD.findall(text.lower()))


def runs(paragraph: str, least: int, most: int, random: Random) -> Iterator[str]:
    """Neighbouring sentences with `least` to `most` words, as many as `random` draws; none is in
    two runs. What is in none: a sentence that is not `fair` or is too long, and a run of which a
    quotation leaves a mark out."""
    if HEADING.match(paragraph):
        return
    run: list[Sentence] = []
    wanted = random.randint(least, most)
    for sentence in sentences(paragraph):
        if not sentence.fair or _words(run) + sentence.words > most:
            yield from _text(run, least)
            run = []
        if not sentence.fair or sentence.words > most:
            continue
        run.append(sentence)
        if _words(run) >= wanted and _balanced(run):
            yield from _text(run, least)
            run, wanted = [], random.randint(least, most)
    yield from _text(run, least)


class Disorder(NamedTuple):
    """Shares of windows whose words come in any order, and are drawn again and again: an order that
    nothing tells but they themselves, and words that do not tell where they stand."""

    shuffled: float = 0.0
    repeated: float = 0.0


def windows(
    paragraphs: Sequence[str], count: int, least: int, most: int, disorder: Disorder, random: Random
) -> Iterator[str]:
    """So many stretches of `least` to `most` neighbouring words, wherever they begin and end."""
    fair = (" ".join(s.text for s in sentences(p) if s.fair) for p in paragraphs)
    texts = [words for words in map(str.split, fair) if len(words) >= least]
    weights = list(accumulate(map(len, texts)))
    for words in random.choices(texts, cum_weights=weights, k=count) if texts else ():
        begin = random.randint(0, len(words) - least)
        some = words[begin : begin + random.randint(least, most)]
        fate = random.random()
        if fate < disorder.shuffled:
            random.shuffle(some)
        elif fate < disorder.shuffled + disorder.repeated:
            some = random.choices(some, k=len(some))
        yield " ".join(some)


def sentences(paragraph: str) -> Iterator[Sentence]:
    """All of a paragraph, spaces, quotation marks and dashes made the same: single marks become
    double ones where the paragraph has none of those. A sentence does not end behind an
    abbreviation, nor before a small letter."""
    text = " ".join(DASHES.sub("—", paragraph.translate(STRAIGHT)).split())
    if '"' not in text:
        text = SINGLE.sub(lambda found: f'"{found[0][1:-1]}"', text)
    begin, quoted = 0, False
    ends = [border.end() for border in BORDER.finditer(text)]
    for end in [*ends, len(text)]:
        sentence = text[begin:end].strip()
        if end < len(text) and ABBREVIATION.search(sentence):
            continue
        yield Sentence(sentence, len(WORD.findall(sentence)), quoted)
        begin, quoted = end, quoted ^ (sentence.count('"') % 2 == 1)


def _words(run: list[Sentence]) -> int:
    return sum(sentence.words for sentence in run)


def _balanced(run: list[Sentence]) -> bool:
    """Whether all quotations begin and end in it; or it is a part of one, and has no mark."""
    text = _joined(run)
    marks = text.count('"')
    pairs = marks == 0 or (marks % 2 == 0 and not run[0].quoted)
    return pairs and SINGLE_END.search(SINGLE.sub("", text)) is None


def _joined(run: list[Sentence]) -> str:
    return " ".join(sentence.text for sentence in run)


def _text(run: list[Sentence], least: int) -> Iterator[str]:
    if _words(run) >= least and _balanced(run):
        yield _joined(run)
