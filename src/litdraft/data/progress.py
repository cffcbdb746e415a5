"""Long work on tokens, with its rate and the time left."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class Work:
    """A bar over `total` of something, that counts tokens on the way."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self.progress, self.task, self.tokens = progress, task, 0

    def done(self, amount: int, tokens: int) -> None:
        self.tokens += tokens
        seconds = self.progress.tasks[self.task].elapsed or 1e-9
        rate = f"{self.tokens / seconds:,.0f} tokens/s"
        self.progress.update(self.task, advance=amount, rate=rate)


@contextmanager
def work(what: str, total: int, shown: bool) -> Iterator[Work]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, transient=True, disable=not (shown and total)) as progress:
        yield Work(progress, progress.add_task(what, total=total, rate=""))
