"""Everything that a certainty study reports about one set of texts."""

from __future__ import annotations

from collections.abc import Sequence

from litdraft.acceptance.counts import repeated_4grams
from litdraft.evaluation.figures import share
from litdraft.studies.certainty import BOUNDS, Certainty, PositionStats
from litdraft.studies.detection import Detected, detect
from litdraft.studies.schema import CertaintyFigures, Detector, KindFigures
from litdraft.studies.skipping import pass_counts, speedup
from litdraft.tokenizers.token_kinds import KINDS, TokenKinds

DETECTED = (0.9, 0.99)  # bounds whose detection is judged


def figures(
    stats: Sequence[PositionStats], kinds: TokenKinds, seconds: Sequence[float], seed: int
) -> CertaintyFigures:
    """Counts, and the rates and predictions that follow from them; `seconds` of passes over 1, 2,
    ... tokens."""
    found = Certainty.of(stats, kinds)
    tokens = found.positions - len(stats)  # the prompt's own pass predicts each text's first
    skipped = [
        pass_counts(text.certain_nN()[:, column].tolist() for text in stats)
        for column in range(len(BOUNDS))
    ]
    by_kind = zip(KINDS, found.positions_G, found.certain_GN, found.right_GN, strict=True)
    return CertaintyFigures(
        texts=len(stats),
        positions=found.positions,
        certain=found.certain_GN.sum(0).tolist(),
        right=found.right_GN.sum(0).tolist(),
        share=found.share_N.tolist(),
        kinds={
            name: KindFigures(int(count), certain_N.tolist(), right_N.tolist())
            for name, count, certain_N, right_N in by_kind
            if count
        },
        repeated_4grams=share(*repeated_4grams(_written(text) for text in stats)),
        passes=skipped,
        speedup=[speedup(counts, tokens, seconds) for counts in skipped],
        detection={
            str(bound): [_detector(found, seconds) for found in detect(stats, bound, seed)]
            for bound in DETECTED
        },
    )


def _written(text: PositionStats) -> list[int]:
    tokens: list[int] = text.tokens_T[text.position_n + 1].tolist()
    return tokens


def _detector(found: Detected, seconds: Sequence[float]) -> Detector:
    tokens = found.positions - found.texts
    return Detector(**found._asdict(), speedup=speedup(found.passes, tokens, seconds))
