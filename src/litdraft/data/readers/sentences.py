"""Runs of sentences from the paragraphs of books."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import accumulate
from random import Random
from typing import NamedTuple

from litdraft.tokenizers.abbreviations import INITIALS, WORDS

# Typographic variants that a model could not restore from the words.
STRAIGHT = str.maketrans({"“": '"', "”": '"', "„": '"', "‘": "'", "’": "'", "`": "'", "_": None})
DASHES = re.compile(r"--+|[–―]")
# Where a sentence may end and the next begin.
BORDER = re.compile(r"(?<=[.!?])([\"')]*) (?=[\"'(]*[A-Z])")
ABBREVIATION = re.compile(rf"\b(?:[{INITIALS}]|{'|'.join(WORDS)}|i\.e|e\.g)\.$")
WHOLE = re.compile(r"[\"'(]*[A-Z].*[.!?][\"')]*")
HEADING = re.compile(
    r"(?:chapter|book|part|volume|letter|stave|act|scene) (?:\d+|[ivxlc]+)\b", re.I
)
CAPITALS = re.compile(r"[A-Z]{2}")
UNUSUAL = re.compile(r"[^\w\s.,;:!?\"'()&—-]")
# A quotation in single marks, and half of one. 'em counts as a beginning; others' does not count as
# an end, because there is no full stop or comma before its mark.
SINGLE = re.compile(r"(?<!\w)'(?=\w).*?(?<=[.,;:!?—])'(?!\w)")
SINGLE_END = re.compile(r"(?<!\w)'(?=\w)|(?<=[.,;:!?—])'(?!\w)")
WORD = re.compile(r"\w+(?:['-]\w+)*")


class Sentence(NamedTuple):
    """quoted: it begins inside a quotation."""

    text: str
    words: int
    quoted: bool

    @property
    def clean(self) -> bool:
        """A whole sentence of ordinary words, without words in capitals, which headings and the
        beginnings of chapters have."""
        odd = CAPITALS.search(self.text) or UNUSUAL.search(self.text)
        return odd is None and WHOLE.fullmatch(self.text) is not None


def lower_words(text: str) -> str:
    """The words in lower case, without punctuation. A hyphen or an apostrophe inside a word
    stays."""
    return " ".join(WORD.findall(text.lower()))


def runs(paragraph: str, least: int, most: int, random: Random) -> Iterator[str]:
    """Runs of neighbouring sentences with `least` to `most` words; `random` draws how many. No
    sentence is in two runs. Sentences that are not `clean` or too long are in none, and runs with
    half a quotation are dropped."""
    if HEADING.match(paragraph):
        return
    run: list[Sentence] = []
    goal = random.randint(least, most)
    for sentence in sentences(paragraph):
        if not sentence.clean or _words(run) + sentence.words > most:
            yield from _text(run, least)
            run = []
        if not sentence.clean or sentence.words > most:
            continue
        run.append(sentence)
        if _words(run) >= goal and _balanced(run):
            yield from _text(run, least)
            run, goal = [], random.randint(least, most)
    yield from _text(run, least)


class Disorder(NamedTuple):
    """Fractions of windows whose words are shuffled, and whose words are drawn with replacement.
    Their order cannot be predicted, only copied."""

    shuffled: float = 0.0
    repeated: float = 0.0


def windows(
    paragraphs: Sequence[str], count: int, least: int, most: int, disorder: Disorder, random: Random
) -> Iterator[str]:
    """`count` stretches of `least` to `most` neighbouring words that begin and end anywhere."""
    clean = (" ".join(s.text for s in sentences(p) if s.clean) for p in paragraphs)
    texts = [words for words in map(str.split, clean) if len(words) >= least]
    weights = list(accumulate(map(len, texts)))
    for words in random.choices(texts, cum_weights=weights, k=count) if texts else ():
        begin = random.randint(0, len(words) - least)
        some = words[begin : begin + random.randint(least, most)]
        draw = random.random()
        if draw < disorder.shuffled:
            random.shuffle(some)
        elif draw < disorder.shuffled + disorder.repeated:
            some = random.choices(some, k=len(some))
        yield " ".join(some)


def sentences(paragraph: str) -> Iterator[Sentence]:
    """All sentences of a paragraph, with uniform spaces, quotation marks and dashes: single marks
    become double ones if the paragraph has no double ones. A sentence does not end after an
    abbreviation, or before a small letter."""
    text = " ".join(DASHES.sub("—", paragraph.translate(STRAIGHT)).split())
    if '"' not in text:
        text = SINGLE.sub(lambda match: f'"{match[0][1:-1]}"', text)
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
    """Whether all quotations begin and end in the run, or it is inside one and has no mark."""
    text = _joined(run)
    marks = text.count('"')
    pairs = marks == 0 or (marks % 2 == 0 and not run[0].quoted)
    return pairs and SINGLE_END.search(SINGLE.sub("", text)) is None


def _joined(run: list[Sentence]) -> str:
    return " ".join(sentence.text for sentence in run)


def _text(run: list[Sentence], least: int) -> Iterator[str]:
    if _words(run) >= least and _balanced(run):
        yield _joined(run)
