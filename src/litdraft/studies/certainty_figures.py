"""All that a certainty study says of one set of texts, as plain data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from litdraft.acceptance.counts import repeated_4grams
from litdraft.evaluation.average_precision import Found, detection
from litdraft.reports.figures import share
from litdraft.studies.certainty import BOUNDS, Certainty, PositionStats
from litdraft.studies.skipping import counted, speedup
from litdraft.tokenizers.token_kinds import KINDS, TokenKinds

DETECTED = (0.9, 0.99)  # bounds whose detection is judged


def figures(
    position_stats: Sequence[PositionStats], kinds: TokenKinds, seconds: Sequence[float], seed: int
) -> dict[str, Any]:
    """What one set of texts tells: counts, and the rates and predictions that follow from them."""
    found = Certainty.of(position_stats, kinds)
    tokens = found.positions - len(
        position_stats
    )  # passes without skipping: each first is the prompt's
    skipped = [
        counted(walk.sure_nN()[:, column].tolist() for walk in position_stats)
        for column in range(len(BOUNDS))
    ]
    return {
        "texts": len(position_stats),
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
        "repeated_4grams": share(*repeated_4grams(_written(walk) for walk in position_stats)),
        "passes": skipped,
        "speedup": [speedup(counts, tokens, seconds) for counts in skipped],
        "detection": {
            str(bound): [
                _detected(some, seconds) for some in detection(position_stats, bound, seed)
            ]
            for bound in DETECTED
        },
    }


def _written(walk: PositionStats) -> list[int]:
    tokens: list[int] = walk.tokens_T[walk.place_n + 1].tolist()
    return tokens


def _detected(found: Found, seconds: Sequence[float]) -> dict[str, Any]:
    tokens = found.positions - found.texts
    return {**found._asdict(), "speedup": speedup(found.passes, tokens, seconds)}
