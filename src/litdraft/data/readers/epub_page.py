"""A page of an .epub: its lines of text, without page numbers, contents and navigation."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from itertools import groupby
from typing import NamedTuple

SKIPPED = {"head", "script", "style", "nav"}
SKIPPED_TYPES = {"toc", "cover", "copyright-page", "pagebreak", "noteref"}  # in epub:type
PAGE_NUMBER = "pagenum"  # the class in Project Gutenberg's epubs
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {
    *("article", "aside", "blockquote", "caption", "dd", "div", "dt", "figcaption", "figure"),
    *("footer", "header", "hr", "li", "p", "pre", "section", "tr"),
}
SPACES = {"br", "td", "th"}
CONTENTS = re.compile(r"(?:[\w ]+ )?contents\W*", re.IGNORECASE)


class Line(NamedTuple):
    text: str
    link: bool  # at least half of it is a link


def page_lines(markup: str) -> list[str]:
    """One line per paragraph, without tables of contents. ValueError if the markup is broken."""
    page = _Page()
    try:
        page.feed(markup)
        page.close()
    except AssertionError as error:  # html.parser raises it for markup that it cannot read
        raise ValueError(str(error)) from error
    if page.skipped:  # everything after it would be lost
        raise ValueError(f"it never closes <{page.skipped[0]}>")
    return _without_contents(page.lines)


def _without_contents(lines: list[Line]) -> list[str]:
    """Lines without runs of three or more links, and without the heading of such a run."""
    kept: list[str] = []
    for link, run in groupby(lines, key=lambda line: line.link):
        texts = [line.text for line in run]
        if not link or len(texts) < 3:
            kept += texts
        elif kept and CONTENTS.fullmatch(kept[-1]):
            kept.pop()
    return kept


class _Page(HTMLParser):
    """Uses html.parser, which knows HTML's entities and accepts markup that is not valid XML."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Line] = []
        self.skipped: list[str] = []  # the tag of the skipped element, once per nesting level
        self._parts: list[str] = []
        self._linked = 0
        self._link = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if self.skipped:
            if tag == self.skipped[0]:
                self.skipped.append(tag)
            return
        self._divide(tag)
        if _is_skipped(tag, dict(attrs)):
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
            self._linked = 0  # a heading may link back to the contents
        self._divide(tag)
        if tag == "a":
            self._link = False

    def handle_data(self, data: str) -> None:
        if not self.skipped:
            self._parts.append(data)
            if self._link:
                self._linked += len(collapse_spaces(data))

    def close(self) -> None:
        super().close()
        self._end_line()

    def _divide(self, tag: str) -> None:
        if tag in BLOCKS:
            self._end_line()
        elif tag in SPACES:
            self._parts.append(" ")

    def _end_line(self) -> None:
        if text := collapse_spaces("".join(self._parts)):
            self.lines.append(Line(text, 2 * self._linked >= len(text)))
        self._parts, self._linked = [], 0


def _is_skipped(tag: str, attrs: dict[str, str | None]) -> bool:
    types, classes = ((attrs.get(name) or "").split() for name in ("epub:type", "class"))
    return tag in SKIPPED or PAGE_NUMBER in classes or not SKIPPED_TYPES.isdisjoint(types)


def collapse_spaces(text: str) -> str:
    return " ".join(text.split())
