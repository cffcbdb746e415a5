"""An evaluation job: of a drafter, or a study of the target alone."""

from __future__ import annotations

from pathlib import Path

from omegaconf import DictConfig


def evaluate(config: DictConfig, folder: Path) -> float:
    """The figure that a sweep compares: the speedup, or a study's own."""
    if config.study is not None:
        from litdraft.config.study import study

        return study(config, folder)
    from litdraft.config import evaluation

    return evaluation.evaluate(config, folder)
