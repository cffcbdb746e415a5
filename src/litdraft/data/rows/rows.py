"""Token rows of unequal length: kept in Arrow, in memory or mapped from a file."""

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

from litdraft.io import replacing

FEATURES = datasets.Features(
    {
        "tokens": datasets.List(datasets.Value("int32")),
        "prompt": datasets.Value("int32"),
        "spans": datasets.List(datasets.Value("int32")),  # begin, end, begin, end, ...
        "group": datasets.Value("string"),
        "reference": datasets.Value("string"),  # null where there is none
    }
)
Spans = list[int]


class Row(NamedTuple):
    """tokens_T of which the first `prompt` are given when the row is continued; trained_T marks
    the tokens that a drafter learns from. In a packed row start_T says where each token's own
    text begins. `taught` is what a teacher's cache knows, one entry for each of the first T - 1."""

    tokens_T: Tensor
    prompt: int
    trained_T: Tensor
    start_T: Tensor | None = None
    taught: dict[str, Tensor] | None = None


class Rows(Dataset[Row]):
    """Rows of a `datasets` table: tokens, the given part's length, the spans to train on, a group
    that reports keep apart, and of a prompt the text that a response is judged by."""

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
        """By default the first token is given and all others are trained on; with `prompts`, all
        behind the given part."""
        given = [1] * len(rows) if prompts is None else list(prompts)
        columns = {
            "tokens": [list(row) for row in rows],
            "prompt": given,
            "spans": [[g, len(row)] for g, row in zip(given, rows, strict=True)]
            if spans is None
            else list(spans),
            "group": list(groups) if groups else [""] * len(rows),
            "reference": list(references) if references else [None] * len(rows),
        }
        return cls(datasets.Dataset.from_dict(columns, features=FEATURES))

    @classmethod
    def joined(cls, parts: Iterable[Rows]) -> Rows:
        return cls(datasets.concatenate_datasets([part.table for part in parts]))

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int) -> Row:
        row = self.table[index]
        tokens_T = torch.from_numpy(_values(row, "tokens").astype(np.int64))
        trained_T = torch.zeros(len(tokens_T), dtype=torch.bool)
        ends = _values(row, "spans").tolist()
        for begin, end in zip(ends[::2], ends[1::2], strict=True):
            trained_T[begin:end] = True
        return Row(tokens_T, int(row["prompt"][0].as_py()), trained_T)

    def named(self, group: str) -> Rows:
        """The same rows, all of one group."""
        table = pa.concat_tables(list(self._parts()))
        column = pa.array([group] * len(self), pa.string())
        place = table.schema.get_field_index("group")
        return Rows(datasets.Dataset(table.set_column(place, "group", column)))

    def select(self, indices: Iterable[int]) -> Rows:
        return Rows(self.table.select(indices))

    @property
    def lengths_B(self) -> Tensor:
        columns = [len_ for part in self._parts() for len_ in _lengths(part)]
        return torch.tensor(columns, dtype=torch.long)

    @property
    def groups(self) -> list[str]:
        return [group for part in self._parts() for group in part["group"].to_pylist()]

    @property
    def references(self) -> list[str | None]:
        """What the data has behind each prompt; None where it has nothing to judge by."""
        return [text for part in self._parts() for text in part["reference"].to_pylist()]

    def lists(self) -> list[list[int]]:
        return [row for part in self._parts() for row in part["tokens"].to_pylist()]

    def prompts(self) -> list[list[int]]:
        """The given part of every row."""
        given = [prompt for part in self._parts() for prompt in part["prompt"].to_pylist()]
        return [row[:prompt] for row, prompt in zip(self.lists(), given, strict=True)]

    def counts_V(self, vocabulary: int) -> Tensor:
        """How often each token stands where these rows are trained on."""
        counts_V = torch.zeros(vocabulary, dtype=torch.long)
        for part in self._parts():
            tokens_n = torch.from_numpy(_values(part, "tokens").astype(np.int64))
            tokens_n = tokens_n[torch.from_numpy(_trained(part))]
            counts_V += torch.bincount(tokens_n, minlength=vocabulary)
        return counts_V

    def tokens(self) -> int:
        return int(self.lengths_B.sum())

    def trained(self) -> int:
        """How many tokens are trained on."""
        ends = (_values(part, "spans").astype(np.int64) for part in self._parts())
        return sum(int((some[1::2] - some[::2]).sum()) for some in ends)

    def fingerprint(self) -> str:
        """A hash of what a target would read: equal texts, equal fingerprints."""
        digest = hashlib.sha256()
        for part in self._parts():
            digest.update(np.asarray(_lengths(part), dtype=np.int64).tobytes())
            digest.update(np.ascontiguousarray(_values(part, "tokens")).tobytes())
        return digest.hexdigest()[:16]

    def prompts_fingerprint(self) -> str:
        """A hash of how many tokens of each row are given."""
        given = [prompt for part in self._parts() for prompt in part["prompt"].to_pylist()]
        return hashlib.sha256(np.asarray(given, dtype=np.int64).tobytes()).hexdigest()[:16]

    def save(self, path: Path) -> None:
        """An Arrow stream, in one piece and the same bytes for the same rows."""
        with replacing(path) as temporary:
            write(temporary, self._parts())

    @classmethod
    def load(cls, path: Path) -> Rows | None:
        """What `save` wrote, mapped; None where there is no such file, or a damaged one."""
        try:
            return cls(datasets.Dataset.from_file(str(path)))
        except (OSError, pa.ArrowInvalid):
            return None

    def _parts(self, size: int = 4096) -> Iterator[pa.Table]:
        for first in range(0, len(self), size):
            yield self.table[first : min(first + size, len(self))]


def write(path: Path, parts: Iterable[pa.Table]) -> None:
    """Arrow tables of FEATURES, one behind the other."""
    schema = FEATURES.arrow_schema
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, schema) as stream:
        for part in parts:
            stream.write_table(part.cast(schema).combine_chunks())


def _values(part: pa.Table, column: str) -> Any:
    """A list column's numbers, end to end."""
    chunks = [chunk.flatten().to_numpy() for chunk in part[column].chunks]
    return chunks[0] if len(chunks) == 1 else np.concatenate(chunks)


def _trained(part: pa.Table) -> Any:
    """Which of a part's tokens, end to end, stand in a span."""
    lengths = np.asarray(_lengths(part))
    pairs = np.asarray(pa.compute.list_value_length(part["spans"])) // 2
    first = np.repeat(lengths.cumsum() - lengths, pairs)  # of each span's row
    edges, spans = np.zeros(lengths.sum() + 1, np.int64), _values(part, "spans").astype(np.int64)
    np.add.at(edges, first + spans[::2], 1)
    np.add.at(edges, first + spans[1::2], -1)
    return edges.cumsum()[:-1] > 0


def _lengths(part: pa.Table) -> list[int]:
    lengths: list[int] = pa.compute.list_value_length(part["tokens"]).to_pylist()
    return lengths
