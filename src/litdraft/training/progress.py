"""What a person sees while a drafter is trained: a summary, then one line per epoch."""

from __future__ import annotations

import time
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from litdraft.protocols import counts
from litdraft.training.module import DrafterModule
from litdraft.training.options import TrainingOptions

COLUMNS = ("epoch", "loss", "accepted", "tokens/round", "tokens/s", "time left")
WIDTHS = (7, 8, 9, 13, 9, 10)


def start_up_summary(console: Console, module: DrafterModule, options: TrainingOptions) -> None:
    """Device, type, target and drafter, before the target writes or reads any text."""
    drafter = module.drafter
    parameters = sum(p.numel() for p in drafter.parameters() if p.requires_grad)
    learns = "counts its text" if counts(drafter) else f"{parameters:,} parameters to train"
    lines = [("device", f"{module.device}, {options.devices} process(es)")]
    if module.target is not None:
        spec, dtype = module.target.spec, str(module.target.dtype).removeprefix("torch.")
        lines.append(("target", f"{spec.name}, {spec.layers} layers of {spec.width}, {dtype}"))
    lines.append(("drafter", f"{drafter.name}, {learns}, k={module.k}"))
    for name, value in lines:
        console.print(f"[dim]{name:<8}[/] {value}")


class EpochLines(Callback):
    """A bar inside an epoch, which disappears, and one line after each: loss, accepted drafts (in
    training), tokens per round (by replay, in validation), tokens read per second, time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._bar: Progress | None = None
        self._losses: list[Any] = []
        self._started = self._epoch_started = 0.0
        self._tokens = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        data: Any = trainer.datamodule  # type: ignore[attr-defined]
        rows, steps = len(data.training), int(trainer.estimated_stepping_batches)
        self.console.print(
            f"[dim]{'data':<8}[/] {rows:,} rows of up to {int(data.training.lengths_B.max())} "
            f"tokens, {steps:,} steps"
        )
        self.console.print(_line(COLUMNS), style="bold")
        self._started = time.perf_counter()

    def on_train_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        self._losses, self._tokens = [], 0
        self._epoch_started = time.perf_counter()
        if self.console.is_terminal:
            self._bar = Progress(
                TextColumn("epoch {task.fields[epoch]}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self.console,
                transient=True,
            )
            total = int(trainer.num_training_batches)
            self._bar.add_task("", total=total, epoch=trainer.current_epoch + 1)
            self._bar.start()

    def on_train_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        if not trainer.is_global_zero:
            return
        self._losses.append(outputs["loss"].detach())
        self._tokens += batch.tokens_BT.numel()
        if self._bar is not None:
            self._bar.advance(self._bar.task_ids[0])

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        self._stop_bar()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if not trainer.is_global_zero or not self._losses:
            return
        now, metrics = time.perf_counter(), trainer.callback_metrics
        loss = float(sum(self._losses) / len(self._losses))
        rate = metrics.get("train/acceptance")
        length = metrics.get("val/mean_acceptance_length")
        shown = f"{float(length):.3f}" if length is not None else ""
        if length is None and "val/loss" in metrics:
            shown = f"val {float(metrics['val/loss']):.3f}"
        speed = self._tokens / max(now - self._epoch_started, 1e-9)
        cells = (
            f"{trainer.current_epoch + 1}/{trainer.max_epochs or '?'}",
            f"{loss:.3f}",
            "" if rate is None else f"{100 * float(rate):.1f} %",
            shown,
            f"{speed:,.0f}",
            self._time_left(trainer, now),
        )
        self.console.print(_line(cells))
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

    def _time_left(self, trainer: L.Trainer, now: float) -> str:
        """From the steps of this process so far; a resumed run counts its own alone."""
        total, done = int(trainer.estimated_stepping_batches), trainer.global_step
        seconds = (now - self._started) * max(total - done, 0) / max(done, 1)
        minutes, seconds = divmod(int(seconds), 60)
        return f"{minutes}:{seconds:02d}"


def _line(cells: tuple[str, ...]) -> str:
    return "  ".join(f"{cell:>{width}}" for cell, width in zip(cells, WIDTHS, strict=True))
