"""A progress bar for long work on tokens: tokens per second and the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class TokenProgress:
    """One bar; `advance` moves it and counts the tokens since it began."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task, self.tokens = progress, task, 0

    def advance(self, amount: int, tokens: int) -> None:
        self.tokens += tokens
        seconds = self.progress.tasks[self.task].elapsed or 1e-9
        rate = f"{self.tokens / seconds:,.0f} tokens/s"
        self.progress.update(self.task, advance=amount, rate=rate)


@contextmanager
def token_progress(description: str, total: int, shown: bool) -> Iterator[TokenProgress]:
    """A bar from 0 to `total`; hidden unless `shown` and there is something to do."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, disable=not (shown and total)) as progress:
        yield TokenProgress(progress, progress.add_task(description, total=total, rate=""))
