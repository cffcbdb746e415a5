"""What the datamodule asks of every source: rows to train on, prompts held out from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from litdraft.data.continuations import Writer
from litdraft.data.distributed import Share
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout, TargetSpec
from litdraft.tokenizers.load import Tokenizer


@dataclass(frozen=True)
class Materials:
    """What a source works with: `cache` is where it may keep what it made of files. Without a
    target there is no spec and no writer. `sides` says how rows are laid out for an
    encoder-decoder; None for one that continues texts."""

    tokenizer: Tokenizer
    cache: Path
    spec: TargetSpec | None = None
    writer: Writer | None = None
    share: Share = field(default_factory=Share)
    encoder_decoder: EncoderDecoderLayout | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer, writer: Writer) -> Materials:
        """Those of the target that writes."""
        spec = writer.target.spec
        return cls(tokenizer, writer.folder, spec, writer, writer.share, spec.encoder_decoder)

    def needed_writer(self, because: str) -> Writer:
        """UserError where no target is there to write."""
        if self.writer is None:
            raise UserError(f"{because} needs a target that writes: choose one with target=")
        return self.writer

    @property
    def reader(self) -> str:
        """Who the rows are laid out for, in words."""
        return "the drafter" if self.spec is None else self.spec.name

    def check_continues(self, data: str) -> None:
        """UserError where rows have a source: `data` has none."""
        if self.encoder_decoder is not None:
            raise UserError(
                f"data={data} continues texts, but {self.reader} reads a source: use "
                "data=restoration, wmt14, cnn_dailymail, spec_bench or jsonl"
            )

    def check_length(self, length: int) -> None:
        """UserError if rows of `length` tokens do not fit the target's context."""
        if self.spec is not None and length > self.spec.context:
            raise UserError(
                f"data.length={length} was given, but {self.spec.name} has a context of "
                f"{self.spec.context}: lower data.length"
            )


class Source(Protocol):
    """One kind of rows. No two splits share a row."""

    def training(self, materials: Materials) -> Rows: ...

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        """`count` rows (fewer where there are not so many), groups in turn; of each, prompt_B
        tokens are given, and the context has room for `room` tokens behind those. A row that is
        a prompt alone has the text's own response, if there is one, as its reference."""
