"""All that a certainty study says of one set of texts, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litdraft.evaluation.certainty import BOUNDS, Certainty, Walk
from litdraft.evaluation.detection import Found, detection
from litdraft.evaluation.figures import share
from litdraft.evaluation.skipping import counted, speedup
from litdraft.evaluation.stats import repeated_4grams
from litdraft.models.kinds import KINDS, Kinds

DETECTED = (0.9, 0.99)  # bounds whose detection is judged


def figures(
    walks: Sequence[Walk], kinds: Kinds, seconds: Sequence[float], seed: int
) -> dict[str, Any]:
    """What one set of texts tells: counts, and the rates and predictions that follow from them."""
    found = Certainty.of(walks, kinds)
    tokens = found.positions - len(walks)  # passes without skipping: each first is the prompt's
    skipped = [
        counted(walk.sure_nN()[:, column].tolist() for walk in walks)
        for column in range(len(BOUNDS))
    ]
    return {
        "texts": len(walks),
        "positions": found.positions,
        "certain": found.sure_GN.sum(0).tolist(),
        "right": found.right_GN.sum(0).tolist(),
        "share": found.share_N.tolist(),
        "kinds": {
            name: {"positions": int(count), "certain": sure_N.tolist(), "right": right_N.tolist()}
            for name, count, sure_N, right_N in zip(
                KINDS, found.positions_G, found.sure_GN, found.right_GN, strict=True
            )
            if count
        },
        "repeated_4grams": share(*repeated_4grams(_written(walk) for walk in walks)),
        "passes": skipped,
        "speedup": [speedup(counts, tokens, seconds) for counts in skipped],
        "detection": {
            str(bound): [_detected(some, seconds) for some in detection(walks, bound, seed)]
            for bound in DETECTED
        },
    }


def _written(walk: Walk) -> list[int]:
    tokens: list[int] = walk.tokens_T[walk.place_n + 1].tolist()
    return tokens


def _detected(found: Found, seconds: Sequence[float]) -> dict[str, Any]:
    tokens = found.positions - found.texts
    return {**found._asdict(), "speedup": speedup(found.passes, tokens, seconds)}
