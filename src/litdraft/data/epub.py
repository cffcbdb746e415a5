"""Chapters of an .epub: read from the archive in memory, within limits, never unpacked."""

from __future__ import annotations

import posixpath
import re
import zipfile
import zlib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

from litdraft.data import gutenberg
from litdraft.errors import UserError

ENTRIES = 20_000
ENTRY_BYTES = 16 << 20  # the longest novels have 4 MB of text
TOTAL_BYTES = 128 << 20
SHORT = 5_000  # characters; what a page of mere notes stays below

PAGES = {"application/xhtml+xml", "text/html", "application/x-dtbook+xml"}
SKIPPED = {"head", "script", "style", "nav", "svg", "audio", "video", "iframe", "rt", "rp"}
SKIPPED_TYPES = {
    *("pagebreak", "page-list", "toc", "toc-brief", "landmarks", "loi", "lot", "noteref"),
    *("cover", "copyright-page", "doc-pagebreak", "doc-toc", "doc-noteref"),
}
SKIPPED_CLASSES = {"pagenum", "pageno", "pagenumber"}
VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr"}
HEADINGS = {"h1", "h2", "h3", "h4", "h5", "h6"}
BLOCKS = HEADINGS | {
    *("address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "div", "dl"),
    *("dt", "figcaption", "figure", "footer", "form", "header", "hr", "li", "main", "ol", "p"),
    *("pre", "section", "table", "tbody", "tfoot", "thead", "tr", "ul"),
}
SPACES = {"br", "td", "th"}
CONTENTS = re.compile(r"(?:\w+ )?(?:table of )?(?:contents|illustrations)\W*", re.IGNORECASE)


class Epub(NamedTuple):
    """chapters: the text of the spine's pages, a paragraph a line."""

    title: str | None
    chapters: list[str]


def read_epub(path: Path) -> Epub:
    """UserError if the file is no epub, is protected, holds no text, or is too large to be true."""
    try:
        with zipfile.ZipFile(path) as opened:
            return _read(_Archive(path, opened))
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is no epub, which is a zip file ({error})") from error


def _read(archive: _Archive) -> Epub:
    package_name = _package_name(archive)
    package = archive.xml(package_name)
    names = _spine(archive, package, package_name)
    _check_protection(archive, names)
    chapters = _chapters(_lines(archive, name) for name in names)
    if not chapters:
        raise UserError(f"{archive.path} holds no text: give an epub that does")
    titles = (_squeezed(node.text or "") for node in package.iter() if _tag(node) == "title")
    return Epub(next((title for title in titles if title), None), chapters)


class _Archive:
    """Entries of a zip file; what they unpack to is counted, whatever sizes they declare."""

    def __init__(self, path: Path, opened: zipfile.ZipFile) -> None:
        self.path, self.left, self._opened = path, TOTAL_BYTES, opened
        self.infos = {info.filename: info for info in opened.infolist()}
        if len(self.infos) > ENTRIES:
            raise UserError(
                f"{path} has {len(self.infos)} entries, but at most {ENTRIES} are read: "
                "give a smaller epub"
            )

    def read(self, name: str) -> bytes:
        info = self.infos.get(name)
        if info is None:
            raise UserError(f"{self.path} holds no {name}, so it is no whole epub: give another")
        if info.flag_bits & 1:
            raise UserError(f"{self.path} is encrypted ({name}): give an epub without protection")
        # Only these two are allowed in an epub, and only these two unpack in bounded steps.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{self.path}: {name} is not deflated, as an epub's entries must be")
        limit = min(ENTRY_BYTES, self.left)
        try:
            with self._opened.open(info) as entry:
                data = entry.read(limit + 1)
        except (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.path} is damaged at {name} ({error}): give another") from error
        if len(data) > limit:
            raise UserError(
                f"{self.path} unpacks to more than {ENTRY_BYTES >> 20} MiB in one entry or "
                f"{TOTAL_BYTES >> 20} MiB in all (at {name}): give a smaller epub"
            )
        self.left -= len(data)
        return data

    def text(self, name: str) -> str:
        """An XML entry as text; entity declarations, which can multiply it, are refused."""
        data = self.read(name)
        declared = re.match(rb"\s*<\?xml[^>]*?encoding\s*=\s*[\"']([\w.-]+)", data)
        encoding = declared[1].decode("ascii", "replace") if declared else "utf-8"
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            encoding = "utf-16"
        elif encoding.lower() in ("utf-8", "utf8"):
            encoding = "utf-8-sig"
        try:
            text = data.decode(encoding)
        except (LookupError, UnicodeError) as error:
            raise UserError(f"{self.path}: {name} is not {encoding} text ({error})") from error
        if "<!ENTITY" in text:
            raise UserError(f"{self.path}: {name} declares XML entities: give an epub without them")
        return text.lstrip()

    def xml(self, name: str) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(self.text(name))
        except (ElementTree.ParseError, ValueError) as error:
            raise UserError(f"{self.path}: {name} is broken XML ({error})") from error


def _tag(node: ElementTree.Element) -> str:
    """An element's name without its namespace."""
    return node.tag.rsplit("}", 1)[-1]


def _squeezed(text: str) -> str:
    return " ".join(text.replace("\u00ad", "").split())  # soft hyphens


def _package_name(archive: _Archive) -> str:
    for node in archive.xml("META-INF/container.xml").iter():
        if _tag(node) == "rootfile" and node.get("full-path"):
            return str(node.get("full-path"))
    raise UserError(f"{archive.path}: META-INF/container.xml names no package: give another epub")


def _beside(package_name: str, href: str) -> str:
    """The entry that a percent-encoded reference relative to the package means."""
    inside = posixpath.join(posixpath.dirname(package_name), unquote(href.split("#", 1)[0]))
    return posixpath.normpath(inside).lstrip("/")


def _spine(archive: _Archive, package: ElementTree.Element, package_name: str) -> list[str]:
    """The entries of the pages of text, in reading order."""
    items = {node.get("id"): node for node in package.iter() if _tag(node) == "item"}
    guide = {
        _beside(package_name, href)
        for node in package.iter()
        if _tag(node) == "reference"
        and node.get("type") in ("toc", "cover")
        and "#" not in (href := node.get("href", ""))
    }
    names = []
    for node in package.iter():
        if _tag(node) != "itemref" or node.get("linear") == "no":
            continue
        item = items.get(node.get("idref"))
        if item is None or not item.get("href"):
            raise UserError(
                f"{archive.path}: the spine names {node.get('idref')!r}, which is not "
                f"in the manifest of {package_name}: give another epub"
            )
        name = _beside(package_name, item.get("href", ""))
        other = "nav" in item.get("properties", "").split() or name in guide
        if item.get("media-type") in PAGES and not other:
            names.append(name)
    return names


def _check_protection(archive: _Archive, names: list[str]) -> None:
    """Fonts may be obfuscated; a page may not be encrypted."""
    if "META-INF/encryption.xml" not in archive.infos:
        return
    for node in archive.xml("META-INF/encryption.xml").iter():
        if _tag(node) == "CipherReference" and _beside("", node.get("URI", "")) in names:
            raise UserError(
                f"{archive.path} is protected (META-INF/encryption.xml encrypts "
                f"{node.get('URI')}): give an epub without DRM"
            )


class _Line(NamedTuple):
    text: str
    link: bool  # at least half of it leads to another place of the book


class _Page(HTMLParser):
    """Lines of a page; html.parser resolves HTML's own entities and forgives broken markup."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.lines: list[_Line] = []
        self._parts: list[str] = []
        self._linked = 0
        self._link = self._heading = False
        self._skipped: tuple[str, int] | None = None  # an element, and how deep inside itself

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        tag = tag.rsplit(":", 1)[-1]
        if self._skipped:
            if tag == self._skipped[0]:
                self._skipped = (tag, self._skipped[1] + 1)
            return
        self._divide(tag)
        found = {key: value or "" for key, value in attrs}
        if tag not in VOID and _furniture(tag, found):
            self._skipped = (tag, 1)
        elif tag == "a":
            self._link = bool(found.get("href")) and ":" not in found["href"].split("#")[0]
        elif tag in HEADINGS:
            self._heading = True

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if not self._skipped:
            self._divide(tag.rsplit(":", 1)[-1])

    def handle_endtag(self, tag: str) -> None:
        tag = tag.rsplit(":", 1)[-1]
        if self._skipped:
            name, depth = self._skipped
            if tag == name:
                self._skipped = (name, depth - 1) if depth > 1 else None
            return
        self._divide(tag)
        if tag == "a":
            self._link = False
        elif tag in HEADINGS:
            self._heading = False

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._parts.append(data)
            if self._link and not self._heading:  # headings may lead back to the contents
                self._linked += len(_squeezed(data))

    @property
    def unclosed(self) -> str:
        """The element whose end was never found, so that all behind it would be lost."""
        return self._skipped[0] if self._skipped else ""

    def close(self) -> None:
        super().close()
        self._end_line()

    def _divide(self, tag: str) -> None:
        if tag in BLOCKS:
            self._end_line()
        elif tag in SPACES:
            self._parts.append(" ")

    def _end_line(self) -> None:
        text = _squeezed("".join(self._parts))
        if text:
            self.lines.append(_Line(text, 2 * self._linked >= len(text)))
        self._parts, self._linked = [], 0


def _furniture(tag: str, attrs: dict[str, str]) -> bool:
    kinds = {*attrs.get("epub:type", "").split(), *attrs.get("role", "").split()}
    classes = set(attrs.get("class", "").lower().split())
    return tag in SKIPPED or bool(kinds & SKIPPED_TYPES or classes & SKIPPED_CLASSES)


def _lines(archive: _Archive, name: str) -> list[_Line]:
    page = _Page()
    try:
        page.feed(archive.text(name))
        page.close()
    except AssertionError as error:  # html.parser's word for what it cannot forgive
        raise UserError(f"{archive.path}: {name} is broken markup ({error})") from error
    if page.unclosed:
        raise UserError(f"{archive.path}: {name} never closes <{page.unclosed}>: mend the epub")
    return page.lines


def _without_contents(lines: list[_Line]) -> list[str]:
    """Lines but for runs of three links or more, and the heading of such a run; nothing if that
    was most of the page."""
    kept: list[str] = []
    dropped = 0
    index = 0
    while index < len(lines):
        stop = index
        while stop < len(lines) and lines[stop].link:
            stop += 1
        if stop - index >= 3:
            dropped += sum(len(line.text) for line in lines[index:stop])
            if kept and CONTENTS.fullmatch(kept[-1]):
                kept.pop()
        else:
            stop = max(stop, index + 1)
            kept += [line.text for line in lines[index:stop]]
        index = stop
    return kept if sum(map(len, kept)) > dropped else []


def _chapters(pages: Iterator[list[_Line]]) -> list[str]:
    """Pages that are text, without what Project Gutenberg put before, between and behind them."""
    whole = "\n\f\n".join("\n".join(_without_contents(lines)) for lines in pages)
    credited = gutenberg.HEADER.search(whole) is not None
    chapters: list[str] = []
    for page in gutenberg.body(whole).split("\f"):
        lines = page.strip("\n").split("\n")
        text = "\n".join(gutenberg.tidy(lines, credited=credited and not chapters))
        note = gutenberg.NOTE.match(lines[0]) or "Project Gutenberg" in text
        if text and not (note and len(text) < SHORT):
            chapters.append(text)
    return chapters
