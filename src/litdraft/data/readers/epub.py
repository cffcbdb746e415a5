"""Chapters of an .epub: the pages of its package, in reading order."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote
from xml.etree import ElementTree

from litdraft.data.readers import gutenberg
from litdraft.data.readers.epub_archive import EpubArchive, open_epub
from litdraft.data.readers.epub_page import collapse_spaces, page_lines
from litdraft.errors import UserError

CONTAINER = "META-INF/container.xml"
ENCRYPTION = "META-INF/encryption.xml"
SHORT = 5_000  # characters; pages of notes are shorter


class Epub(NamedTuple):
    """chapters: the text of the spine's pages, one line per paragraph."""

    title: str | None
    chapters: list[str]


def read_epub(path: Path) -> Epub:
    """UserError if the file is not an epub, is protected, has no text, or is implausibly large."""
    with open_epub(path) as archive:
        package_name = _package_name(archive)
        package = archive.xml(package_name)
        names = _spine(archive, package, package_name)
        _check_protection(archive, names)
        chapters = _chapters(_lines(archive, name) for name in names)
    if not chapters:
        raise UserError(f"{path} has no text: give an epub with text")
    titles = (collapse_spaces(node.text or "") for node in package.iterfind(".//{*}title"))
    return Epub(next(filter(None, titles), None), chapters)


def _package_name(archive: EpubArchive) -> str:
    for node in archive.xml(CONTAINER).iterfind(".//{*}rootfile[@full-path]"):
        return node.attrib["full-path"]
    raise UserError(f"{archive.path}: {CONTAINER} names no package: give another epub")


def _spine(archive: EpubArchive, package: ElementTree.Element, package_name: str) -> list[str]:
    """The archive entries of the text pages, in reading order."""
    items = {node.get("id"): node for node in package.iterfind(".//{*}item[@href]")}
    names = []
    for node in package.iterfind(".//{*}itemref"):
        if node.get("linear") == "no":
            continue
        item = items.get(node.get("idref"))
        if item is None:
            raise UserError(
                f"{archive.path}: the spine names {node.get('idref')!r}, which is not "
                f"in the manifest of {package_name}: give another epub"
            )
        nav = "nav" in item.get("properties", "").split()
        if "html" in item.get("media-type", "") and not nav:
            names.append(_entry(posixpath.dirname(package_name), item.attrib["href"]))
    return names


def _entry(folder: str, href: str) -> str:
    """The archive entry of a percent-encoded reference relative to a folder."""
    return posixpath.normpath(posixpath.join(folder, unquote(href)))


def _check_protection(archive: EpubArchive, names: list[str]) -> None:
    """Fonts may be obfuscated; a page may not be encrypted."""
    if ENCRYPTION not in archive:
        return
    for node in archive.xml(ENCRYPTION).iterfind(".//{*}CipherReference"):
        if (name := _entry("", node.get("URI", ""))) in names:
            raise UserError(
                f"{archive.path} is protected ({ENCRYPTION} encrypts {name}): "
                "give an epub without DRM"
            )


def _lines(archive: EpubArchive, name: str) -> list[str]:
    markup = archive.text(name)
    try:
        return page_lines(markup)
    except ValueError as error:
        raise UserError(
            f"{archive.path}: {name} is broken markup ({error}): give another epub"
        ) from error


def _chapters(pages: Iterable[list[str]]) -> list[str]:
    """The text pages, without the text that Project Gutenberg added before, between and after
    them."""
    whole = "\n\f\n".join("\n".join(lines) for lines in pages)
    credited = gutenberg.HEADER.search(whole) is not None
    chapters: list[str] = []
    for page in gutenberg.body(whole).split("\f"):
        lines = page.strip("\n").split("\n")
        text = "\n".join(gutenberg.clean(lines, credited=credited and not chapters))
        note = gutenberg.NOTE.match(lines[0]) or "Project Gutenberg" in text
        if text and not (note and len(text) < SHORT):
            chapters.append(text)
    return chapters
