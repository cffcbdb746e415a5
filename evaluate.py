"""Measure what a drafter buys: python evaluate.py run=outputs/... . All keys: --help."""

from __future__ import annotations

from pathlib import Path

import hydra
from omegaconf import DictConfig

from litdraft.config.entry import prepared, run_job
from litdraft.config.evaluation import evaluate

CONF = Path(__file__).resolve().parent / "conf"


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> float:
    return run_job(evaluate, config)


if __name__ == "__main__":
    prepared(CONF, "evaluate")
    main()
