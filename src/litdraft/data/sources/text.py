"""Plain text from a file or a folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from litdraft.data.readers.text_files import files_of, read_text, stamp
from litdraft.data.sources.examples import Example, Segment, Split
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer


class Text:
    """The documents of a file, of a folder's *.txt files (any depth), or of a list of those.

    A `separator` divides a file into documents; `unwrap` joins hard-wrapped lines into paragraphs.
    """

    documents = True
    own_splits: frozenset[Split] = frozenset()

    def __init__(
        self, path: str | Sequence[str], separator: str = "<|endoftext|>", unwrap: bool = False
    ) -> None:
        self.path, self.separator, self.unwrap = path, separator, unwrap

    @cached_property
    def _files(self) -> list[Path]:
        return files_of(self.path, (".txt",))

    def facts(self) -> dict[str, Any]:
        files = [stamp(file) for file in self._files]
        return {"source": "text", "options": [self.separator, self.unwrap], "files": files}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        return [
            Example((Segment(text, response=True),), location=location)
            for location, text in self._all()
        ]

    def texts(self) -> Iterator[str]:
        """All documents; a tokenizer may be trained on them."""
        return (text for _, text in self._all())

    def _all(self) -> Iterator[tuple[str, str]]:
        empty = True
        for file in self._files:
            for text in separated(read_text(file), self.separator, self.unwrap):
                empty = False
                yield str(file), text
        if empty:
            raise UserError(f"{self.path} has no text between its separators: give other files")


def separated(text: str, separator: str, unwrap: bool) -> Iterator[str]:
    """The non-empty documents between separators."""
    for document in text.split(separator) if separator else [text]:
        if unwrap:
            paragraphs = (" ".join(p.split()) for p in document.split("\n\n"))
            document = "\n".join(p for p in paragraphs if p)
        if document.strip():
            yield document.strip()
