"""Which rows a batch continues with: none that is done, and few shapes where shapes are costly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from litdraft.device_sync import values_known
from litdraft.protocols import Proposal

CROWD = 0.75  # rows that are done leave as soon as no more than this share would stay


def rows_to_keep(done: Sequence[bool], few_shapes: bool = False) -> list[int] | None:
    """The rows to continue with: None for all of them, an empty list if all are done.

    Leaving costs a copy of what stays, so it waits until enough rows are done. With `few_shapes`
    a power of two stays, filled up with rows that are done.
    """
    over = [row for row, finished in enumerate(done) if finished]
    going = [row for row, finished in enumerate(done) if not finished]
    size = 1 << (len(going) - 1).bit_length() if few_shapes and going else len(going)
    if going and size > CROWD * len(done):
        return None
    return going + over[: size - len(going)]


def trimmed(proposal: Proposal) -> Proposal:
    """A chain without the positions at which no row drafts, if looking costs no wait: a target need
    not read them. A graph has one shape and keeps it."""
    valid_BN, probs_BNU = proposal.valid_BN, proposal.probs_BNU
    if valid_BN is None or proposal.parent_BN is not None or not values_known(valid_BN):
        return proposal
    most = int(valid_BN.sum(1).max())
    if most == valid_BN.shape[1]:
        return proposal
    confidence_BN = proposal.confidence_BN
    return replace(
        proposal,
        tokens_BN=proposal.tokens_BN[:, :most],
        probs_BNU=None if probs_BNU is None else probs_BNU[:, :most],
        valid_BN=valid_BN[:, :most],
        confidence_BN=None if confidence_BN is None else confidence_BN[:, :most],
    )


def decode_capacity(max_new_tokens: int, k: int) -> int:
    """Slots after a prompt: a round may begin at the last token and draft k more."""
    return max_new_tokens + k + 1
