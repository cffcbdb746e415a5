"""Text the target wrote from nothing: no download, no corpus, and exactly its own distribution.

Training on the target's own text rather than on a corpus is what sequence-level distillation does
(Kim and Rush, arXiv 1606.07947; for drafters DistillSpec, arXiv 2310.08461).
"""

from __future__ import annotations

from collections.abc import Sequence

from litdraft.data.continuations import dealt_out
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError
from litdraft.sampling import Sampling

# Each split draws its own random numbers: rows of one never repeat in another.
FIRST_ROW: dict[Split, int] = {"training": 0, "validation": 1 << 40, "test": 2 << 40}


class TargetGenerated:
    """`samples` texts of up to `length` tokens, sampled from the beginning-of-text token.

    temperatures are dealt out in turn: each text's first `opening` tokens are sampled at
    temperature 1, the rest at its own temperature. Greedy text (0) belongs in the diet of a
    drafter that will be used greedily.
    """

    def __init__(
        self,
        samples: int = 1000,
        length: int = 256,
        opening: int = 16,
        temperatures: Sequence[float] = (1.0, 0.0),
    ) -> None:
        if samples < 1 or not 1 <= opening < length or not temperatures:
            raise UserError(
                f"data=target_generated was given samples={samples}, length={length}, "
                f"opening={opening}, temperatures={list(temperatures)}: it needs at least one "
                "sample, one temperature, and 1 <= opening < length"
            )
        self.samples, self.length, self.opening = samples, length, opening
        self.temperatures = list(temperatures)

    def training(self, materials: Materials) -> Rows:
        openings = self._openings(materials, "training", self.samples)
        capacity = self.length - self.opening - 1
        writer = materials.needed_writer("data=target_generated")
        rows = dealt_out(writer, openings, capacity, self.temperatures)
        return Rows.of(rows.lists())  # the openings are the target's own words as well

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        openings = self._openings(materials, split, count)
        return Rows.of(openings, [len(opening) for opening in openings])

    def _openings(self, materials: Materials, split: Split, count: int) -> list[list[int]]:
        """First words that the target did not end at once."""
        materials.check_continues("target_generated")
        writer = materials.needed_writer("data=target_generated")
        spec = writer.target.spec
        materials.check_length(self.length)
        if spec.bos is None:
            raise UserError(
                f"{spec.name} has no beginning-of-text token to start from: "
                "use data=text data.path=... for its prompts"
            )
        rows = writer.continued(
            [[spec.bos]] * count, self.opening, Sampling(1.0), FIRST_ROW[split]
        ).lists()
        return [row for row in rows if row[-1] not in spec.eos] or rows[:1]
