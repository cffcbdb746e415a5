"""An .epub as a zip archive: read in memory, up to a limit, never unpacked to disk."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from xml.etree import ElementTree

from litdraft.errors import UserError

LIMIT = 64 << 20  # bytes; the longest novels have 4 MB of text, and images are never read


class EpubArchive:
    """Entries of a zip file. Unpacked bytes are counted, whatever sizes the entries declare."""

    def __init__(self, path: Path, opened: zipfile.ZipFile) -> None:
        self.path, self._opened, self._left = path, opened, LIMIT

    def __contains__(self, name: str) -> bool:
        return name in self._opened.NameToInfo

    def read(self, name: str) -> bytes:
        info = self._readable(name)
        try:
            with self._opened.open(info) as entry:
                data = entry.read(self._left + 1)
        except (OSError, EOFError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
            raise UserError(f"{self.path} is damaged at {name} ({error}): give another") from error
        self._left -= len(data)
        if self._left < 0:
            raise UserError(
                f"{self.path} unpacks to more than {LIMIT >> 20} MiB of text (at {name}): "
                "give a smaller epub"
            )
        return data

    def text(self, name: str) -> str:
        """An XML entry as text; entity declarations, which can multiply its size, are refused."""
        data = self.read(name)
        utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff"))  # an epub has no third encoding
        try:
            text = data.decode("utf-16" if utf16 else "utf-8-sig")
        except UnicodeError as error:
            raise UserError(f"{self.path}: {name} is not UTF-8 or UTF-16 ({error})") from error
        if "<!ENTITY" in text:
            raise UserError(f"{self.path}: {name} declares XML entities: give an epub without them")
        return text

    def xml(self, name: str) -> ElementTree.Element:
        try:
            return ElementTree.fromstring(self.text(name))
        except (ElementTree.ParseError, ValueError) as error:
            raise UserError(f"{self.path}: {name} is broken XML ({error})") from error

    def _readable(self, name: str) -> zipfile.ZipInfo:
        if name not in self:
            raise UserError(f"{self.path} has no {name}, so the epub is incomplete: give another")
        info = self._opened.getinfo(name)
        if info.flag_bits & 1:
            raise UserError(f"{self.path} is encrypted ({name}): give an epub without protection")
        # An epub may use only these two, and only these two can be unpacked in bounded steps.
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise UserError(f"{self.path}: {name} is not deflated, as an epub's entries must be")
        return info


@contextmanager
def open_epub(path: Path) -> Iterator[EpubArchive]:
    """UserError if the file is not a zip file."""
    try:
        opened = zipfile.ZipFile(path)
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} is not an epub, because it is not a zip file ({error})") from error
    with opened:
        yield EpubArchive(path, opened)
