"""Text that the target generates without a prompt: no download, no corpus, and exactly its own
distribution.

Training on the target's own text rather than on a corpus is what sequence-level distillation does
(Kim and Rush, arXiv 1606.07947; for drafters DistillSpec, arXiv 2310.08461).
"""

from __future__ import annotations

from collections.abc import Sequence

from litdraft.data.continuations import write_at_temperatures
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError
from litdraft.sampling import Sampling

# Each split uses its own random numbers, so that no split repeats another's rows.
FIRST_ROW: dict[Split, int] = {"training": 0, "validation": 1 << 40, "test": 2 << 40}


class TargetGenerated:
    """`samples` texts of up to `length` tokens, sampled from the beginning-of-text token.

    The first `opening` tokens of each text are sampled at temperature 1, the rest at one of the
    `temperatures`, which the texts take in turn. A drafter that will decode greedily should also
    train on greedy text (temperature 0).
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
        writer = materials.require_writer("data=target_generated")
        rows = write_at_temperatures(writer, openings, capacity, self.temperatures)
        return Rows.of(rows.token_lists())  # the target wrote the openings too

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        openings = self._openings(materials, split, count)
        return Rows.of(openings, [len(opening) for opening in openings])

    def _openings(self, materials: Materials, split: Split, count: int) -> list[list[int]]:
        """First tokens, without the texts that the target ended within them."""
        materials.require_decoder_only("target_generated")
        writer = materials.require_writer("data=target_generated")
        spec = writer.target.spec
        materials.check_length(self.length)
        if spec.bos is None:
            raise UserError(
                f"{spec.name} has no beginning-of-text token to start from: "
                "use data=text data.path=... for its prompts"
            )
        rows = writer.write(
            [[spec.bos]] * count, self.opening, Sampling(1.0), FIRST_ROW[split]
        ).token_lists()
        return [row for row in rows if row[-1] not in spec.eos] or rows[:1]
