"""Several sources at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials, Source
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError


class Mixture:
    """Trains on the rows of all parts. Held-out rows come from all parts in equal numbers, or only
    from the `judged` parts; reports show each part separately, by its name."""

    def __init__(self, parts: Mapping[str, Source], judged: Sequence[str] | None = None) -> None:
        if not parts:
            raise UserError("data=mixture has no parts: give at least one data.parts.NAME.path=...")
        self.parts = dict(parts)
        unknown = sorted(set(judged or ()) - self.parts.keys())
        if unknown or judged == []:
            raise UserError(
                f"data.judged={judged} was given: choose null (all parts) or some of "
                f"{', '.join(self.parts)}"
            )
        self.judged = {name: self.parts[name] for name in judged or self.parts}

    def training(self, materials: Materials) -> Rows:
        return Rows.concatenate(part.training(materials) for part in self.parts.values())

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        counts = [
            count // len(self.judged) + (index < count % len(self.judged))
            for index in range(len(self.judged))
        ]
        return Rows.concatenate(
            part.held_out(materials, split, part_count, capacity).with_group(name)
            for (name, part), part_count in zip(self.judged.items(), counts, strict=True)
            if part_count
        )
