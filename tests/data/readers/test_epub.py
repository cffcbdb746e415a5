"""Epubs: their text in order, and each way in which one can be wrong is named."""

from __future__ import annotations

import re
import zipfile
from collections import Counter
from pathlib import Path

import pytest

from litdraft.data.readers import epub_archive
from litdraft.data.readers.epub import read_epub
from litdraft.data.readers.gutenberg import read_gutenberg
from litdraft.data.readers.text_files import read_text
from litdraft.errors import UserError

CONTAINER = """<?xml version="1.0"?>
<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>
<rootfile full-path="OPS/book.opf" media-type="application/oebps-package+xml"/>
</rootfiles></container>"""
OPF = """<?xml version="1.0" encoding="utf-8"?>
<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">
<metadata><dc:title>A &amp; B</dc:title></metadata><manifest>{items}</manifest>
<spine>{spine}</spine></package>"""


def page(body: str) -> str:
    return f"<?xml version='1.0'?><html><head><title>no</title></head><body>{body}</body></html>"


def build(path: Path, pages: dict[str, str], **changed: str | bytes | None) -> Path:
    """An epub of pages in order; `changed` replaces an entry, or with None leaves it out."""
    kind = 'media-type="application/xhtml+xml"'
    items = "".join(f'<item id="{n}" href="{n}.xhtml" {kind}/>' for n in pages)
    spine = "".join(f'<itemref idref="{name}"/>' for name in pages)
    entries: dict[str, str | bytes | None] = {
        "META-INF/container.xml": CONTAINER,
        "OPS/book.opf": OPF.format(items=items, spine=spine),
        **{f"OPS/{name}.xhtml": page(body) for name, body in pages.items()},
        **changed,
    }
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in entries.items():
            if text is not None:
                archive.writestr(name, text)
    return path


def lines_of(path: Path, body: str) -> list[str]:
    return read_epub(build(path / "one.epub", {"one": body})).chapters[0].split("\n")


def test_markup_becomes_lines(tmp_path: Path) -> None:
    body = """<h1>One<br/>Two</h1><p>caf&eacute; &#8212; <i>a</i>
    b<script>if (a<b) {}</script></p>
    <p>c<span epub:type="pagebreak" title="7">7</span>d<span epub:type="pagebreak" id="p8"/>e
    <a epub:type="noteref" href="#n">1</a></p><div>f<p>g</p>h</div><style>p {}</style>
    <table><tr><td>i</td><td>j</td></tr></table><span class="pagenum">[Pg 9]</span>"""
    expected = ["One Two", "café — a b", "cde", "f", "g", "h", "i j"]
    assert lines_of(tmp_path, body) == expected


def test_contents_are_left_out(tmp_path: Path) -> None:
    links = "".join(f'<p><a href="x.xhtml#{n}">Chapter {n}</a></p>' for n in range(5))
    assert lines_of(tmp_path, f"<p>{'a' * 99}</p><h2>CONTENTS.</h2>{links}<p>b</p>")[1:] == ["b"]
    heading = '<h2><a href="#toc">I</a></h2>' * 3
    assert lines_of(tmp_path, heading + "<p>b</p>") == ["I", "I", "I", "b"]
    pages = {
        "toc": f"<h1>Brief Contents</h1>{links}",
        "nav": f"<nav>{links}</nav>",
        "a": "<p>A</p>",
    }
    assert read_epub(build(tmp_path / "b.epub", pages)).chapters == ["A"]


def test_the_spine_decides(tmp_path: Path) -> None:
    names = {"one": "b%20c/1.xhtml", "two": "../2.html", "nav": "n.xhtml", "not": "no.xhtml"}
    kind = 'media-type="application/xhtml+xml"'
    items = "".join(f'<item id="{n}" href="{href}" {kind}/>' for n, href in names.items())
    items = items.replace('id="nav"', 'id="nav" properties="scripted nav"')
    items += '<item id="svg" href="cover.svg" media-type="image/svg+xml"/>'
    spine = "".join(f'<itemref idref="{name}"/>' for name in ("svg", "nav", "two", "one"))
    spine += '<itemref idref="not" linear="no"/>'
    entries: dict[str, str | bytes | None] = {
        "OPS/book.opf": OPF.format(items=items, spine=spine),
        "OPS/b c/1.xhtml": page("<p>1</p>"),
        "2.html": page("<p>2</p>").encode("utf-16"),
    }
    book = build(tmp_path / "a.epub", {}, **entries)
    assert read_epub(book) == ("A & B", ["2", "1"])


def test_what_gutenberg_added_is_removed(tmp_path: Path) -> None:
    start = "The Project Gutenberg EBook<br/>*** START OF THIS PROJECT GUTENBERG EBOOK A ***<br/>"
    pages = {
        "cover": "<p>The Project Gutenberg eBook of A</p>",
        "a": f"<div>{start}Produced by C. D.</div><p>Story.</p>",
        "note": "<h2>Transcriber’s Notes:</h2><p>None.</p><p>At all.</p>",
        "b": "<p>End.</p><div>End of the Project Gutenberg EBook of A</div>",
        "licence": "<p>You may copy it.</p>",
    }
    assert read_epub(build(tmp_path / "a.epub", pages)).chapters == ["Story.", "End."]


ENCRYPTION = """<encryption xmlns="urn:oasis:names:tc:opendocument:xmlns:container"
xmlns:enc="http://www.w3.org/2001/04/xmlenc#"><enc:EncryptedData><enc:CipherData>
<enc:CipherReference URI="OPS/{}"/></enc:CipherData></enc:EncryptedData></encryption>"""
LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    "entry, text, answer",
    [
        ("META-INF/container.xml", None, "has no META-INF/container.xml"),
        ("META-INF/container.xml", "<container>", "container.xml is broken XML"),
        ("META-INF/container.xml", "<container/>", "names no package"),
        ("META-INF/container.xml", LAUGHS + CONTAINER[21:], "declares XML entities"),
        ("OPS/book.opf", None, "has no OPS/book.opf"),
        ("OPS/book.opf", "<package>&lol;</package>", "broken XML"),
        ("OPS/book.opf", OPF.format(items="", spine='<itemref idref="x"/>'), "'x', which is not"),
        ("OPS/one.xhtml", None, "has no OPS/one.xhtml"),
        ("OPS/one.xhtml", "", "has no text"),
        ("OPS/one.xhtml", b"caf\xe9", "is not UTF-8 or UTF-16"),
        ("OPS/one.xhtml", LAUGHS + "<p>&b;</p>", "declares XML entities"),
        ("OPS/one.xhtml", "<body><nav>text", "never closes <nav>"),
        ("OPS/one.xhtml", "<![a[", "broken markup"),
        ("META-INF/encryption.xml", ENCRYPTION.format("one.xhtml"), "DRM"),
    ],
)
def test_malformed_ones_are_named(
    tmp_path: Path, entry: str, text: str | bytes | None, answer: str
) -> None:
    book = build(tmp_path / "wrong.epub", {"one": "<p>Text.</p>"}, **{entry: text})
    with pytest.raises(UserError, match=answer) as caught:
        read_epub(book)
    assert str(book) in str(caught.value)


def test_obfuscated_fonts_are_no_protection(tmp_path: Path) -> None:
    fonts: dict[str, str | bytes | None] = {
        "META-INF/encryption.xml": ENCRYPTION.format("fonts/a.otf")
    }
    assert read_epub(build(tmp_path / "a.epub", {"one": "<p>A</p>"}, **fonts)).chapters == ["A"]


def test_a_file_that_is_no_archive_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.epub").write_text("no zip")
    with pytest.raises(UserError, match=r"a\.epub is not an epub"):
        read_epub(tmp_path / "a.epub")
    whole = build(tmp_path / "b.epub", {"one": f"<p>{list(range(999))}</p>"}).read_bytes()
    middle = whole.index(b"OPS/one.xhtml") + 200
    (tmp_path / "b.epub").write_bytes(whole[:middle] + b"\xff" * 99 + whole[middle + 99 :])
    with pytest.raises(UserError, match=r"b\.epub is damaged at OPS/one"):
        read_epub(tmp_path / "b.epub")
    marked = bytearray(whole)
    marked[whole.index(b"PK\1\2") + 8] |= 1  # the flags of its first entry
    (tmp_path / "b.epub").write_bytes(marked)
    with pytest.raises(UserError, match=r"b\.epub is encrypted"):
        read_epub(tmp_path / "b.epub")
    with zipfile.ZipFile(tmp_path / "c.epub", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("META-INF/container.xml", CONTAINER)
    with pytest.raises(UserError, match="not deflated"):
        read_epub(tmp_path / "c.epub")


def test_extraction_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(epub_archive, "LIMIT", 1 << 20)
    bomb = build(tmp_path / "bomb.epub", {"one": "a" * (2 << 20)})
    with pytest.raises(UserError, match=r"bomb\.epub unpacks to more than 1 MiB"):
        read_epub(bomb)
    # It declares a few bytes only, in both places where a zip file declares sizes.
    raw, size = bomb.read_bytes(), ((2 << 20) + len(page(""))).to_bytes(4, "little")
    assert raw.count(size) == 2
    bomb.write_bytes(raw.replace(size, (99).to_bytes(4, "little")))
    with pytest.raises(UserError, match=r"bomb\.epub is damaged at OPS/one"):
        read_epub(bomb)
    pages = dict.fromkeys(("one", "two", "three"), "a" * (400 << 10))
    with pytest.raises(UserError, match="unpacks to more than"):
        read_epub(build(tmp_path / "many.epub", pages))


def test_moby_dick(shared: Path) -> None:
    title, chapters = read_epub(shared / "data" / "books" / "moby-dick_idpf.epub")
    assert title == "Moby-Dick"
    heads = [chapter.split("\n")[0] for chapter in chapters]
    numbered = [head for head in heads if head.startswith("Chapter ")]
    assert [head.split()[1].rstrip(".") for head in numbered] == [str(n) for n in range(1, 136)]
    extras = ["ETYMOLOGY.", "EXTRACTS (Supplied by a Sub-Sub-Librarian).", "Epilogue"]
    assert [head for head in heads if head not in numbered] == extras
    assert chapters[2].split("\n")[1].startswith("Call me Ishmael. Some years ago—never mind")
    assert not any("gutenberg" in chapter.casefold() for chapter in chapters)


def test_pride_and_prejudice_in_both_formats(shared: Path) -> None:
    folder = shared / "data" / "books"
    title, chapters = read_epub(folder / "pg1342_pride_and_prejudice.epub")
    other, text = read_gutenberg(read_text(folder / "pg1342_pride_and_prejudice.txt"))
    assert title == other == "Pride and Prejudice"
    whole = "\n".join(chapters)
    assert sum(line.startswith("Chapter ") for line in whole.split("\n")) == 61
    assert chapters[0].startswith("PRIDE AND PREJUDICE\nBy Jane Austen\nChapter 1\nIt is a truth")
    assert chapters[-1].endswith("had been the means of uniting them.")
    words = [Counter(re.findall(r"[^\W_]+", book)) for book in (whole, text)]
    assert sum((words[0] & words[1]).values()) > 0.998 * max(sum(w.values()) for w in words)
