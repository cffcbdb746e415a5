"""Token rows of different lengths in an Arrow table, in memory or mapped from a file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import datasets
import numpy as np
import pyarrow as pa
import torch
from torch import Tensor
from torch.utils.data import Dataset

from litdraft.data.rows.arrow import (
    FEATURES,
    Spans,
    flat_values,
    row_lengths,
    trained_mask,
    write_tables,
)
from litdraft.io import replacing


class Row(NamedTuple):
    """tokens_T, of which the first `prompt` are the prompt; trained_T marks the tokens that the
    loss covers. In a packed row start_T is the position where each token's own text begins.
    `teacher_outputs`: stored outputs of the teacher, one entry for each of the first T - 1
    tokens."""

    tokens_T: Tensor
    prompt: int
    trained_T: Tensor
    start_T: Tensor | None = None
    teacher_outputs: dict[str, Tensor] | None = None


class Rows(Dataset[Row]):
    """Rows of a `datasets` table: tokens, the prompt's length, the spans to train on, a group that
    reports show separately, and for a prompt the reference text that a response is scored with."""

    def __init__(self, table: Any) -> None:
        self.table = table.with_format("arrow")

    @classmethod
    def of(
        cls,
        rows: Sequence[Sequence[int]],
        prompts: Sequence[int] | None = None,
        spans: Sequence[Spans] | None = None,
        groups: Sequence[str] | None = None,
        references: Sequence[str | None] | None = None,
    ) -> Rows:
        """By default the prompt is the first token, and everything after the prompt is trained
        on."""
        lengths = [1] * len(rows) if prompts is None else list(prompts)
        columns = {
            "tokens": [list(row) for row in rows],
            "prompt": lengths,
            "spans": [[n, len(row)] for n, row in zip(lengths, rows, strict=True)]
            if spans is None
            else list(spans),
            "group": list(groups) if groups else [""] * len(rows),
            "reference": list(references) if references else [None] * len(rows),
        }
        return cls(datasets.Dataset.from_dict(columns, features=FEATURES))

    @classmethod
    def concatenate(cls, parts: Iterable[Rows]) -> Rows:
        return cls(datasets.concatenate_datasets([part.table for part in parts]))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Row:
        row = self.table[index]
        tokens_T = torch.from_numpy(flat_values(row, "tokens").astype(np.int64))
        trained_T = torch.zeros(len(tokens_T), dtype=torch.bool)
        edges = flat_values(row, "spans").tolist()
        for begin, end in zip(edges[::2], edges[1::2], strict=True):
            trained_T[begin:end] = True
        return Row(tokens_T, int(row["prompt"][0].as_py()), trained_T)

    def with_group(self, group: str) -> Rows:
        """The same rows, all in one group."""
        table = pa.concat_tables(list(self._tables()))
        column = pa.array([group] * len(self), pa.string())
        index = table.schema.get_field_index("group")
        return Rows(datasets.Dataset(table.set_column(index, "group", column)))

    def select(self, indices: Iterable[int]) -> Rows:
        return Rows(self.table.select(indices))

    @property
    def lengths_B(self) -> Tensor:
        lengths = [length for table in self._tables() for length in row_lengths(table)]
        return torch.tensor(lengths, dtype=torch.long)

    @property
    def groups(self) -> list[str]:
        return self._column("group")

    @property
    def references(self) -> list[str | None]:
        """The data's own response to each prompt; None if it has none."""
        return self._column("reference")

    def token_lists(self) -> list[list[int]]:
        return self._column("tokens")

    def prompts(self) -> list[list[int]]:
        """The prompt of every row."""
        lengths = self._column("prompt")
        return [row[:n] for row, n in zip(self.token_lists(), lengths, strict=True)]

    def counts_V(self, vocabulary: int) -> Tensor:
        """How often each token occurs among the tokens that are trained on."""
        counts_V = torch.zeros(vocabulary, dtype=torch.long)
        for table in self._tables():
            tokens_n = torch.from_numpy(flat_values(table, "tokens").astype(np.int64))
            tokens_n = tokens_n[torch.from_numpy(trained_mask(table))]
            counts_V += torch.bincount(tokens_n, minlength=vocabulary)
        return counts_V

    def token_count(self) -> int:
        return int(self.lengths_B.sum())

    def trained_count(self) -> int:
        """How many tokens are trained on."""
        edges = (flat_values(table, "spans").astype(np.int64) for table in self._tables())
        return sum(int((some[1::2] - some[::2]).sum()) for some in edges)

    def fingerprint(self) -> str:
        """A hash of all tokens: the same texts have the same fingerprint."""
        digest = hashlib.sha256()
        for table in self._tables():
            digest.update(np.asarray(row_lengths(table), dtype=np.int64).tobytes())
            digest.update(np.ascontiguousarray(flat_values(table, "tokens")).tobytes())
        return digest.hexdigest()[:16]

    def prompts_fingerprint(self) -> str:
        """A hash of all prompt lengths."""
        lengths = np.asarray(self._column("prompt"), dtype=np.int64)
        return hashlib.sha256(lengths.tobytes()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """Write an Arrow stream at once; the same rows give the same bytes."""
        with replacing(path) as temporary:
            write_tables(temporary, self._tables())

    @classmethod
    def load(cls, path: Path) -> Rows | None:
        """Map what `save` wrote; None if there is no such file, or a damaged one."""
        try:
            return cls(datasets.Dataset.from_file(str(path)))
        except (OSError, pa.ArrowInvalid):
            return None

    def _column(self, name: str) -> list[Any]:
        return [value for table in self._tables() for value in table[name].to_pylist()]

    def _tables(self, size: int = 4096) -> Iterator[pa.Table]:
        for first in range(0, len(self), size):
            yield self.table[first : min(first + size, len(self))]
