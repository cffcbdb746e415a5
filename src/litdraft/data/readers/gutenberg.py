"""Project Gutenberg's plain text without its header, licence, credits and hard line breaks."""

from __future__ import annotations

import re
from collections.abc import Iterable

# Markers are sought in joined paragraphs, because long ones are wrapped in the files.
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
    """A file's title, if its header has one, and its text: a paragraph a line.

    A text without a Gutenberg header keeps all its paragraphs.
    """
    joined = "\n".join(paragraphs(raw))
    text = "\n".join(tidy(body(joined).split("\n"), credited=HEADER.search(joined) is not None))
    return title_of(raw), text


def title_of(raw: str) -> str | None:
    """What the header's "Title:" says, continued lines included; None if it says nothing."""
    header = HEADER.search(raw)
    head = raw[: header.start()] if header else raw.strip().split("\n\n", 1)[0]
    found = TITLE.search(head)
    return " ".join(found[1].split()) if found else None


def paragraphs(raw: str) -> list[str]:
    """Blank lines divide paragraphs; the lines inside one are joined with a space."""
    pieces = (" ".join(piece.split()) for piece in re.split(r"\n\s*\n", raw))
    return [piece for piece in pieces if piece]


def body(text: str) -> str:
    """What stands between header and footer of a text that has a paragraph a line."""
    headers = [found for found in HEADER.finditer(text) if text[found.end() :].strip()]
    start = headers[0].end() if headers else 0
    footer = FOOTER.search(text, start)
    stop = footer.start() if footer else len(text)
    start = max((h.end() for h in headers if h.end() <= stop), default=0)
    if small_print := SMALL_PRINT.search(text, start, stop):
        stop = small_print.start()  # the oldest files have it behind the book
    return text[start:stop]


def tidy(lines: Iterable[str], credited: bool) -> list[str]:
    """Paragraphs without illustration markers, transcriber's notes and, where a header stood in
    front of them (`credited`), the names of who produced the file."""
    text = ILLUSTRATION.sub("", "\n".join(lines))
    kept: list[str] = []
    note = False  # the paragraph before was the heading of a note
    for line in (" ".join(line.split()) for line in text.split("\n")):
        if not line or (credited and not kept and CREDIT.match(line)):
            continue
        heading, note = note, False
        if found := NOTE.match(line):
            note = found.end() == len(line)
        elif not heading:
            kept.append(line)
    return kept
