"""How reports word figures."""

from __future__ import annotations

from litdraft.acceptance.counts import Interval


def percent(share: float | None, digits: int = 1) -> str:
    """A share of 1; empty where it is not known."""
    return "" if share is None else f"{100 * share:.{digits}f} %"


def temperature(value: float) -> str:
    return "greedy" if value == 0 else f"temperature {value:g}"


def times_as_fast(speedup: Interval, timed_batches: int, digits: int = 2) -> str:
    """A speedup with its interval. One batch has no interval, and the text says so."""
    value, low, high = (f"{part:.{digits}f}" for part in speedup)
    spread = f"[{low}, {high}]" if timed_batches > 1 else "(one batch: no interval)"
    return f"{value} times as fast {spread}"


def with_interval(speedup: Interval, timed_batches: int = 2) -> str:
    """The same for a cell of a table."""
    spread = f" [{speedup.low:.2f}, {speedup.high:.2f}]" if timed_batches > 1 else ""
    return f"{speedup.value:.2f}{spread}"


def milliseconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
