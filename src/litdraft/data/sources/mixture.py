"""Several sources at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials, Source
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError


class Mixture:
    """The rows of all parts to train on; held-out rows in equal shares, which reports keep apart
    by the parts' names. `judged`: of these parts alone."""

    def __init__(self, parts: Mapping[str, Source], judged: Sequence[str] | None = None) -> None:
        if not parts:
            raise UserError("data=mixture has no part: give data.parts.NAME.path=... of some text")
        self.parts = dict(parts)
        unknown = sorted(set(judged or ()) - self.parts.keys())
        if unknown or judged == []:
            raise UserError(
                f"data.judged={judged} was given: choose null (all) or some of "
                f"{', '.join(self.parts)}"
            )
        self.judged = {name: self.parts[name] for name in judged or self.parts}

    def training(self, materials: Materials) -> Rows:
        return Rows.joined(part.training(materials) for part in self.parts.values())

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        shares = [
            count // len(self.judged) + (number < count % len(self.judged))
            for number in range(len(self.judged))
        ]
        return Rows.joined(
            part.held_out(materials, split, share, capacity).named(name)
            for (name, part), share in zip(self.judged.items(), shares, strict=True)
            if share
        )
