"""What a person sees while a drafter is trained: a summary, then one line per epoch."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from torch import Tensor

from litdraft.protocols import counts
from litdraft.training.module import DrafterModule
from litdraft.training.options import TrainingOptions

HEAD = ("epoch", "loss", "accepted", "tokens/round", "tokens/s", "time left")
WIDTHS = (7, 8, 9, 13, 9, 10)  # 66 columns with the spaces between them: fits into 80


def console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def show_summary(console: Console, module: DrafterModule, options: TrainingOptions) -> None:
    """Device, target and drafter, before the target writes or reads any text."""
    drafter, processes = module.drafter, options.devices
    shared = f", {processes} processes" if processes > 1 else ""
    _fact(console, "device", f"{module.device}{shared}")
    if module.target is not None:
        spec, dtype = module.target.spec, str(module.target.dtype).removeprefix("torch.")
        _fact(console, "target", f"{spec.name}: {spec.layers} layers, width {spec.width}, {dtype}")
    learns = f"{module.parameters_trained:,} parameters to train"
    learns = "counts its text" if counts(drafter) else learns
    _fact(console, "drafter", f"{drafter.name}: {learns}, k={module.k}")


def _fact(console: Console, name: str, value: str) -> None:
    console.print(f"[dim]{name:<8}[/] {value}")


class EpochLines(Callback):
    """One line after each epoch, and inside it a bar on a terminal, which disappears.

    loss: mean of the epoch. accepted: the expected share of accepted drafts on training text.
    tokens/round: predicted by replay on validation text; without a target its loss, marked val.
    tokens/s: training tokens read per second. time left: of the whole training.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._losses: list[Tensor] = []
        self._tokens = self._first_step = self._epoch = 0
        self._started = self._epoch_started = 0.0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._started, self._first_step = time.perf_counter(), trainer.global_step
        if not trainer.is_global_zero:
            return
        rows = trainer.datamodule.training  # type: ignore[attr-defined]
        longest, steps = int(rows.lengths_B.max()), int(trainer.estimated_stepping_batches)
        _fact(
            self.console, "data", f"{len(rows):,} rows of up to {longest} tokens, {steps:,} steps"
        )
        self.console.print(_line(HEAD), style="bold")

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._losses, self._tokens, self._epoch = [], 0, trainer.current_epoch + 1
        self._epoch_started = time.perf_counter()
        if trainer.is_global_zero and self.console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]} left in all"),
                console=self.console,
                transient=True,
            )
            batches = int(trainer.num_training_batches)
            self._bar.add_task(str(self._epoch), total=batches, left="?")
            self._bar.start()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        self._losses.append(outputs["loss"].detach())
        self._tokens += batch.tokens_BT.numel()
        if self._bar is not None:
            task = self._bar.task_ids[0]
            self._bar.update(task, advance=1, left=self._time_left(trainer))

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop_bar()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if trainer.is_global_zero and self._losses:
            assert isinstance(pl_module, DrafterModule)
            self.console.print(_line(self._cells(trainer, pl_module)))
        self._losses = []

    def on_exception(
        self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException
    ) -> None:
        self._stop_bar()

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop_bar()

    def _stop_bar(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None

    def _cells(self, trainer: L.Trainer, module: DrafterModule) -> tuple[str, ...]:
        last = trainer.max_epochs if (trainer.max_epochs or -1) > 0 else "?"
        accepted, drafts = module.epoch_counts.tolist()
        name, _ = module.monitor
        figure = f"{float(trainer.callback_metrics[name]):.3f}"
        seconds = max(time.perf_counter() - self._epoch_started, 1e-9)
        return (
            f"{self._epoch}/{last}",
            f"{float(sum(self._losses)) / len(self._losses):.3f}",
            "-" if module.target is None else f"{100 * accepted / max(drafts, 1):.1f} %",
            f"val {figure}" if module.target is None else figure,
            f"{self._tokens / seconds:,.0f}",
            self._time_left(trainer),
        )

    def _time_left(self, trainer: L.Trainer) -> str:
        """By the pace of this process's own steps: a resumed run did the earlier ones before."""
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        pace = (time.perf_counter() - self._started) / max(done - self._first_step, 1)
        minutes, seconds = divmod(int(pace * max(total - done, 0)), 60)
        return f"{minutes}:{seconds:02d}"


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
