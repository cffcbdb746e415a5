"""Plain text from a file or a folder."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from litdraft.data.rows import Rows
from litdraft.data.source import Materials, Split, check_length
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer


def read_texts(path: str | Path | Sequence[str | Path]) -> Iterator[str]:
    """The texts of a file, of a folder's *.txt files (any depth), or of a list of those."""
    if isinstance(path, (str, Path)):
        path = [path]
    for place in (Path(entry).expanduser() for entry in path):
        if not place.exists():
            raise UserError(f"{place} does not exist: give data.path a text file or folder")
        files = sorted(place.rglob("*.txt")) if place.is_dir() else [place]
        if not files:
            raise UserError(f"{place} holds no .txt file: give data.path a folder of plain text")
        for file in files:
            try:
                yield file.read_text(encoding="utf-8-sig")
            except (OSError, UnicodeDecodeError) as error:
                raise UserError(f"{file} is not readable as UTF-8 text ({error})") from error


def documents(
    path: str | Path | Sequence[str | Path], separator: str, unwrap: bool
) -> Iterator[str]:
    """What stands between separators; `unwrap` joins hard-wrapped lines into paragraphs."""
    found = False
    for text in read_texts(path):
        for document in text.split(separator) if separator else [text]:
            if unwrap:
                paragraphs = (" ".join(p.split()) for p in document.split("\n\n"))
                document = "\n".join(p for p in paragraphs if p)
            if document.strip():
                found = True
                yield document.strip()
    if not found:
        raise UserError(f"{path} holds no text: give data.path some .txt files with words in them")


class Text:
    """Documents cut into rows of at most `length` tokens, each behind a beginning-of-text token.

    A row ends at a line's end where one is near. pack=True fills rows with several short
    documents, as language modelling likes it; with a target in front leave it off, because a
    target would then read documents that have nothing to do with each other.
    Held-out rows offer their first `opening` tokens as the prompt.
    """

    def __init__(
        self,
        path: str | Sequence[str],
        length: int = 256,
        opening: int = 32,
        separator: str = "<|endoftext|>",
        unwrap: bool = False,
        pack: bool = False,
        held_out_rows: int = 256,
        samples: int | None = None,
        seed: int = 0,
    ) -> None:
        if not 1 <= opening < length:
            raise UserError(f"data.opening={opening} must be at least 1 and below length={length}")
        self.path, self.length, self.opening = path, length, opening
        self.separator, self.unwrap, self.pack = separator, unwrap, pack
        self.held_out_rows, self.samples, self.seed = held_out_rows, samples, seed
        self._split: tuple[Tokenizer, list[list[int]], int] | None = None

    def documents(self) -> Iterator[str]:
        return documents(self.path, self.separator, self.unwrap)

    def training(self, materials: Materials) -> Rows:
        check_length(self.length, materials.target)
        rows, kept_out = self._rows(materials.tokenizer)
        return Rows.of(rows[2 * kept_out :][: self.samples])

    def held_out(self, materials: Materials, split: Split, count: int) -> Rows:
        check_length(self.length, materials.target)
        rows, kept_out = self._rows(materials.tokenizer)
        first = 0 if split == "validation" else kept_out
        rows = rows[first : first + min(kept_out, count)]
        return Rows.of(rows, [min(self.opening, len(row)) for row in rows])

    def _rows(self, tokenizer: Tokenizer) -> tuple[list[list[int]], int]:
        """All rows in a fixed shuffled order, and how many each held-out split takes."""
        if self._split is None or self._split[0] is not tokenizer:
            breaks = line_ends(tokenizer)
            rows: list[list[int]] = []
            for document in self.documents():
                rows += cut(_whole(tokenizer, document), self.length, breaks, tokenizer.bos)
            random.Random(self.seed).shuffle(rows)
            if self.pack:
                rows = packed(rows, self.length)
            if len(rows) < 3:
                raise UserError(
                    f"{self.path} makes {len(rows)} rows of {self.length} tokens, but training, "
                    "validation and test need one each: give more text or lower data.length"
                )
            self._split = (tokenizer, rows, min(self.held_out_rows, len(rows) // 3))
        return self._split[1], self._split[2]


def _whole(tokenizer: Tokenizer, document: str) -> list[int]:
    ids = tokenizer.encode(document)
    return ids if tokenizer.eos is None else [*ids, tokenizer.eos]


def line_ends(tokenizer: Tokenizer) -> frozenset[int]:
    """Ids whose piece ends a line: a newline, its byte piece, or GPT-2's letter for it."""
    marks = ("\n", "<0x0A>", "Ċ")
    return frozenset(i for i in range(tokenizer.size) if tokenizer.piece(i).endswith(marks))


def cut(ids: list[int], length: int, breaks: frozenset[int], bos: int | None) -> list[list[int]]:
    """Rows of at most `length`, cut behind a line's end if one stands in the second half."""
    rows = []
    while len(ids) > length:
        ends = (end for end in range(length, length // 2, -1) if ids[end - 1] in breaks)
        end = next(ends, length)
        rows.append(ids[:end])
        ids = ids[end:] if bos is None else [bos, *ids[end:]]
    return [*rows, ids] if len(ids) > 1 else rows


def packed(rows: list[list[int]], length: int) -> list[list[int]]:
    """Short rows one behind the other, as many as fit in each."""
    full: list[list[int]] = []
    for row in rows:
        if full and len(full[-1]) + len(row) <= length:
            full[-1] = full[-1] + row
        else:
            full.append(row)
    return full
