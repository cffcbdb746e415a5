"""What the datamodule needs from every source: rows to train on, and held-out prompts."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from litdraft.data.continuations import Writer
from litdraft.data.distributed import Distributed
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError
from litdraft.protocols import EncoderDecoderLayout, TargetSpec
from litdraft.tokenizers.base import Tokenizer


@dataclass(frozen=True)
class Materials:
    """What a source makes rows with. `cache`: the folder for files that it derives. Without a
    target there is no spec and no writer. `encoder_decoder`: how rows are laid out for an
    encoder-decoder; None for a decoder-only model."""

    tokenizer: Tokenizer
    cache: Path
    spec: TargetSpec | None = None
    writer: Writer | None = None
    distributed: Distributed = field(default_factory=Distributed)
    encoder_decoder: EncoderDecoderLayout | None = None

    @classmethod
    def of(cls, tokenizer: Tokenizer, writer: Writer) -> Materials:
        """Everything taken from the writer and its target."""
        spec = writer.target.spec
        return cls(tokenizer, writer.folder, spec, writer, writer.distributed, spec.encoder_decoder)

    def require_writer(self, user: str) -> Writer:
        """The writer; UserError, which names the `user` of it, without a target."""
        if self.writer is None:
            raise UserError(f"{user} needs a target to generate text: choose one with target=")
        return self.writer

    @property
    def model_name(self) -> str:
        """The model that the rows are laid out for, as error messages call it."""
        return "the drafter" if self.spec is None else self.spec.name

    def require_decoder_only(self, data: str) -> None:
        """UserError for an encoder-decoder, because this `data` has no source text."""
        if self.encoder_decoder is not None:
            raise UserError(
                f"data={data} has texts to continue, but {self.model_name} is an encoder-decoder "
                "and needs a source: use data=restoration, wmt14, cnn_dailymail, spec_bench or "
                "jsonl"
            )

    def check_length(self, length: int) -> None:
        """UserError if rows of `length` tokens do not fit the target's context."""
        if self.spec is not None and length > self.spec.context:
            raise UserError(
                f"data.length={length} was given, but {self.spec.name} has a context of "
                f"{self.spec.context}: lower data.length"
            )


@runtime_checkable
class Source(Protocol):
    """One kind of data. No two splits share a row."""

    def training(self, materials: Materials) -> Rows: ...

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        """`count` rows (fewer if there are not enough), taking the groups in turn. The first
        prompt_B tokens of a row are its prompt, and the target's context has space for `capacity`
        tokens after them. A row that is only a prompt has the text's own response, if there is
        one, as its reference."""
