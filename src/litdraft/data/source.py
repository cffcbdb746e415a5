"""What every source of text promises: rows to train on, prompts held out from them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from litdraft.data.continuations import Writer
from litdraft.data.rows import Rows
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer
from litdraft.protocols import Target

Split = Literal["validation", "test"]


@dataclass(frozen=True)
class Materials:
    """What a source works with. Without a target there is a tokenizer and no writer."""

    tokenizer: Tokenizer
    target: Target | None = None
    writer: Writer | None = None


def check_length(length: int, target: Target | None) -> None:
    """UserError if rows of `length` tokens do not fit the target's context."""
    if target is not None and length > target.spec.context:
        raise UserError(
            f"data.length={length} was given, but {target.spec.name} has a context of "
            f"{target.spec.context}: lower data.length"
        )


class Source(Protocol):
    """One kind of text. `training` and both held-out splits never share a row."""

    def training(self, materials: Materials) -> Rows: ...

    def held_out(self, materials: Materials, split: Split, count: int) -> Rows:
        """`count` rows (fewer where there are not so many); of each, prompt_B tokens are given."""
