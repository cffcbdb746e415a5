"""Which rows a batch goes on with: nothing idle, and few shapes where they cost."""

from __future__ import annotations

from collections.abc import Sequence

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


def room_behind(max_new_tokens: int, k: int) -> int:
    """Slots behind a prompt: a round may begin at the last token and draft k more."""
    return max_new_tokens + k + 1
