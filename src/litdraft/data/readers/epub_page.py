"""A page of an .epub: its lines of text, without what is furniture of the printed book."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import groupby
from typing import NamedTuple

SKIPPED = {"head", "script", "style", "nav"}
SKIPPED_TYPES = {"toc", "cover", "copyright-page", "pagebreak", "noteref"}  # in epub:type
PAGE_NUMBER = "pagenum"  # the class that Project Gutenberg gives them
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {
    *("article", "aside", "blockquote", "caption", "dd", "div", "dt", "figcaption", "figure"),
    *("footer", "header", "hr", "li", "p", "pre", "section", "tr"),
}
SPACES = {"br", "td", "th"}
CONTENTS = re.compile(r"(?:[\w ]+ )?contents\W*", re.IGNORECASE)


class Line(NamedTuple):
    text: str
    link: bool  # at least half of it leads elsewhere


def page_lines(markup: str) -> list[str]:
    """A paragraph a line, without tables of contents. ValueError if the markup is broken."""
    page = _Page()
    try:
        page.feed(markup)
        page.close()
    except AssertionError as error:  # html.parser's word for what it cannot forgive
        raise ValueError(str(error)) from error
    if page.skipped:  # all behind it would be lost
        raise ValueError(f"it never closes <{page.skipped[0]}>")
    return _without_contents(page.lines)


def _without_contents(lines: list[Line]) -> list[str]:
    """Lines but for runs of three links or more, and the heading of such a run."""
    kept: list[str] = []
    for link, run in groupby(lines, key=lambda line: line.link):
        texts = [line.text for line in run]
        if not link or len(texts) < 3:
            kept += texts
        elif kept and CONTENTS.fullmatch(kept[-1]):
            kept.pop()
    return kept


class _Page(HTMLParser):
    """html.parser knows HTML's own entities, and forgives markup that is no good XML."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.skipped: list[str] = []  # the name of what is left out, as often as it is open
        self._parts: list[str] = []
        self._linked = 0
        self._link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.skipped:
            if tag == self.skipped[0]:
                self.skipped.append(tag)
            return
        self._divide(tag)
        if _furniture(tag, dict(attrs)):
            self.skipped = [tag]
        elif tag == "a":
            self._link = "href" in dict(attrs)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self.skipped:
            self._divide(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.skipped:
            if tag == self.skipped[0]:
                self.skipped.pop()
            return
        if tag in HEADINGS:
            self._linked = 0  # they may lead back to the contents
        self._divide(tag)
        if tag == "a":
            self._link = False

    def handle_data(self, data: str) -> None:
        if not self.skipped:
            self._parts.append(data)
            if self._link:
                self._linked += len(squeezed(data))

    def close(self) -> None:
        super().close()
        self._end_line()

    def _divide(self, tag: str) -> None:
        if tag in BLOCKS:
            self._end_line()
        elif tag in SPACES:
            self._parts.append(" ")

    def _end_line(self) -> None:
        if text := squeezed("".join(self._parts)):
            self.lines.append(Line(text, 2 * self._linked >= len(text)))
        self._parts, self._linked = [], 0


def _furniture(tag: str, attrs: dict[str, str | None]) -> bool:
    kinds, classes = ((attrs.get(name) or "").split() for name in ("epub:type", "class"))
    return tag in SKIPPED or PAGE_NUMBER in classes or not SKIPPED_TYPES.isdisjoint(kinds)


def squeezed(text: str) -> str:
    return " ".join(text.split())
