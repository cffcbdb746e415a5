"""What a user chooses about any source of text, and how its rows are dealt out to the splits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import chain, islice, zip_longest

import numpy as np

from litdraft.data.rows.encoding import TRUNCATE, Encoder
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError

HELD_OUT: tuple[Split, ...] = ("validation", "test")
WITHOUT_TARGET = 256  # tokens a row where no target's context says how many


@dataclass(frozen=True)
class TextOptions:
    """Keys of conf/data_text.yaml.

    length: tokens a row; None, the target's context. truncate: what a prompt loses that does not
    fit. loss: train on what is written (continuation) or on everything behind the first token
    (all). responses: the text's own (original), or written anew by the target (target), up to
    `response_tokens` each, at `temperatures` dealt out in turn. opening: how many of a document's
    first tokens are its prompt. held_out_rows: how many rows a held-out split takes out of the
    training text where the source keeps none apart. samples: how many rows to train on.
    """

    length: int | None = None
    truncate: str = "error"
    loss: str = "continuation"
    responses: str = "original"
    response_tokens: int = 128
    temperatures: Sequence[float] = (1.0, 0.0)
    opening: int = 32
    held_out_rows: int = 256
    samples: int | None = None
    split_seed: int = 0

    def __post_init__(self) -> None:
        for key, known in (
            ("truncate", TRUNCATE),
            ("loss", ("continuation", "all")),
            ("responses", ("original", "target")),
        ):
            if getattr(self, key) not in known:
                given = getattr(self, key)
                raise UserError(f"data.{key}={given} was given: choose one of {', '.join(known)}")
        for key in ("samples", "length", "response_tokens", "held_out_rows", "opening"):
            if (number := getattr(self, key)) is not None and number < 1:
                raise UserError(f"data.{key}={number} was given, but it must be at least 1")
        if self.length is not None and self.opening >= self.length:
            raise UserError(
                f"data.opening={self.opening} was given, but it must be below "
                f"data.length={self.length}"
            )
        if self.rewritten and self.length is not None and self.response_tokens >= self.length:
            raise UserError(
                f"data.response_tokens={self.response_tokens} was given, but data.length="
                f"{self.length} must have room for a prompt before them: lower one, raise the other"
            )
        if not self.temperatures:
            raise UserError("data.temperatures=[] was given, but it needs one at least")

    @property
    def rewritten(self) -> bool:
        return self.responses == "target"

    def encoder(self, materials: Materials, split: Split = "training") -> Encoder:
        """Of rows to train on, or of prompts that may take all of a target's context. UserError if
        `length` does not fit it, or if the loss would be on a source, which nothing writes."""
        if materials.encoder_decoder is not None and self.loss == "all":
            raise UserError(
                f"data.loss=all was given, but {materials.reader} reads a source, which nothing "
                "learns to write: use data.loss=continuation"
            )
        if self.length is not None:
            materials.check_length(self.length)
        length = self.length or WITHOUT_TARGET
        if materials.spec is not None and (self.length is None or split != "training"):
            length = materials.spec.context
        return Encoder(materials.tokenizer, length, self.truncate, materials.encoder_decoder)

    def dealt(
        self, count: int, split: Split, apart: frozenset[Split], given: Callable[[int], Hashable]
    ) -> list[int]:
        """Which of `count` rows are this split's, shuffled. The rows are the split's own where it
        is `apart`, and otherwise training rows, of which it takes a part. No later split has a row
        that is `given` the same as one of an earlier: validation, test, training."""
        order: list[int] = np.random.default_rng(self.split_seed).permutation(count).tolist()
        if split != "training" and split in apart:
            return order
        carved = [name for name in HELD_OUT if name not in apart]
        each = min(self.held_out_rows, max(count // 10, 1))
        if count <= each * len(carved):
            raise UserError(
                f"the data makes {count} rows, but training, validation and test need one each: "
                "give more text or a lower data.length"
            )
        if not carved:
            return order[: self.samples]
        first = each * (len(carved) if split == "training" else carved.index(split))
        mine = order[first:] if split == "training" else order[first : first + each]
        taken = {given(place) for place in order[:first]}
        fresh = (place for place in mine if not taken or given(place) not in taken)
        return list(islice(fresh, self.samples if split == "training" else None))

    def masked(self, rows: Rows) -> Rows:
        """Rewritten rows with the loss where it was asked for."""
        if self.loss == "continuation":
            return rows
        lists = rows.lists()
        given = [len(prompt) for prompt in rows.prompts()]
        return Rows.of(lists, given, [[1, len(row)] for row in lists], rows.groups)


def in_turn(groups: Sequence[str]) -> list[int]:
    """Places of rows, one of every group and again, so that the first few show all groups."""
    places = defaultdict(list)
    for place, group in enumerate(groups):
        places[group].append(place)
    rounds = zip_longest(*places.values())
    return [place for place in chain.from_iterable(rounds) if place is not None]
