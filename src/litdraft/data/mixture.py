"""Several sources at once."""

from __future__ import annotations

from collections.abc import Mapping

from litdraft.data.examples import Split
from litdraft.data.rows import Rows
from litdraft.data.source import Materials, Source
from litdraft.errors import UserError


class Mixture:
    """The rows of all parts to train on; held-out rows in equal shares, which reports keep apart
    by the parts' names."""

    def __init__(self, parts: Mapping[str, Source]) -> None:
        if not parts:
            raise UserError("data=mixture has no part: give data.parts.NAME.path=... of some text")
        self.parts = dict(parts)

    def training(self, materials: Materials) -> Rows:
        return Rows.joined(part.training(materials) for part in self.parts.values())

    def held_out(self, materials: Materials, split: Split, count: int, room: int) -> Rows:
        shares = [
            count // len(self.parts) + (number < count % len(self.parts))
            for number in range(len(self.parts))
        ]
        return Rows.joined(
            part.held_out(materials, split, share, room).named(name)
            for (name, part), share in zip(self.parts.items(), shares, strict=True)
            if share
        )
