"""Project Gutenberg's plain text without its header, licence, credits and hard line breaks."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Markers are searched in joined paragraphs, because long ones are wrapped in the files.
HEADER = re.compile(
    r"\*\*\*[ ]?START OF TH(?:IS|E) PROJECT GUTENBERG.*?(?:\*\*\*|$)"
    r"|\*[ ]?END\W{0,3}THE SMALL PRINT.*?(?:\*END\*|$)",  # files from before 2003
    re.MULTILINE | re.IGNORECASE,
)
FOOTER = re.compile(
    r"(?:\*\*\*[ ]?)?\bE(?:nd|ND) (?:of|OF) (?:(?i:the|this) )?(?i:Project Gutenberg)"
)
SMALL_PRINT = re.compile(r"\*{1,3}START\W{0,3}THE SMALL PRINT")
CREDIT = re.compile(
    r"(?:This (?:e-?text|e-?book|file) (?:was )?)?(?:produced|prepared|transcribed|created) by\b"
    r"|(?:E-?text|HTML version|Text file) (?:prepared |produced |created )?by\b"
    r"|Transcribed from\b|Note: Project Gutenberg|Credits:",
    re.IGNORECASE,
)
NOTE = re.compile(r"\W*(?:original )?transcriber['’]?s?['’]? notes?\b\W*", re.IGNORECASE)
ILLUSTRATION = re.compile(
    r"\[Illustrations?\b[^][]{0,2000}(?:\[[^][]{0,200}\][^][]{0,2000}){0,5}\]", re.IGNORECASE
)
TITLE = re.compile(r"^Title:[ \t]*(.+(?:\n(?![A-Z][A-Za-z ]{2,30}:)[ \t]*\S.*)*)", re.MULTILINE)


def read_gutenberg(raw: str) -> tuple[str | None, str]:
    """A file's title, if its header has one, and its text, one line per paragraph.

    A text without a Gutenberg header keeps all its paragraphs.
    """
    text = "\n".join(paragraphs(raw))
    cleaned = "\n".join(clean(body(text).split("\n"), credited=HEADER.search(text) is not None))
    return title_of(raw), cleaned


def title_of(raw: str) -> str | None:
    """The header's "Title:", including continued lines; None if there is none."""
    header = HEADER.search(raw)
    head = raw[: header.start()] if header else raw.strip().split("\n\n", 1)[0]
    title = TITLE.search(head)
    return " ".join(title[1].split()) if title else None


def paragraphs(raw: str) -> list[str]:
    """Paragraphs are separated by blank lines; the lines inside one are joined with spaces."""
    joined = (" ".join(part.split()) for part in re.split(r"\n\s*\n", raw))
    return [part for part in joined if part]


def body(text: str) -> str:
    """The text between header and footer, given with one line per paragraph."""
    headers = [match for match in HEADER.finditer(text) if text[match.end() :].strip()]
    start = headers[0].end() if headers else 0
    footer = FOOTER.search(text, start)
    stop = footer.start() if footer else len(text)
    start = max((h.end() for h in headers if h.end() <= stop), default=0)
    if small_print := SMALL_PRINT.search(text, start, stop):
        stop = small_print.start()  # the oldest files have it after the book
    return text[start:stop]


def clean(lines: Iterable[str], credited: bool) -> list[str]:
    """Paragraphs without illustration markers and transcriber's notes, and, if a header came before
    them (`credited`), without the credits of the file's producers."""
    text = ILLUSTRATION.sub("", "\n".join(lines))
    kept: list[str] = []
    note = False  # the paragraph before was the heading of a note
    for line in (" ".join(line.split()) for line in text.split("\n")):
        if not line or (credited and not kept and CREDIT.match(line)):
            continue
        heading, note = note, False
        if match := NOTE.match(line):
            note = match.end() == len(line)
        elif not heading:
            kept.append(line)
    return kept
