"""Which rows a batch goes on with: nothing idle, and few shapes where they cost."""

from __future__ import annotations

from collections.abc import Sequence

from litdraft.device_sync import values_known
from litdraft.protocols import Proposal

CROWD = 0.75  # rows that are done leave as soon as no more than this share would stay


def staying(done: Sequence[bool], few_shapes: bool = False) -> list[int] | None:
    """The rows to go on with: None for all of them, none where all are done.

    To leave costs a copy of what stays, so it waits until enough rows are done. With `few_shapes`
    a power of two stays, filled up by rows that are done.
    """
    over = [row for row, finished in enumerate(done) if finished]
    going = [row for row, finished in enumerate(done) if not finished]
    size = 1 << (len(going) - 1).bit_length() if few_shapes and going else len(going)
    if going and size > CROWD * len(done):
        return None
    return going + over[: size - len(going)]


def narrowed(proposal: Proposal) -> Proposal:
    """Without the places at which no row drafts, where it costs nothing to look: a target need not
    read them. A graph has one shape, and keeps it."""
    valid_BK, probs_BKU = proposal.valid_BK, proposal.probs_BKU
    if valid_BK is None or not values_known(valid_BK):
        return proposal
    most = int(valid_BK.sum(1).max())
    if most == valid_BK.shape[1]:
        return proposal
    return Proposal(
        proposal.tokens_BK[:, :most],
        None if probs_BKU is None else probs_BKU[:, :most],
        valid_BK[:, :most],
        proposal.vocabulary_U,
    )


def decode_capacity(max_new_tokens: int, k: int) -> int:
    """Slots behind a prompt: a round may begin at the last token and draft k more."""
    return max_new_tokens + k + 1
