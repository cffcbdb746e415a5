"""Measure what a drafter buys: python evaluate.py run=outputs/... . All keys: --help."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Before torch: a thread that waits soon gives way. Otherwise one busy neighbour was seen to make
# decoding on two cores fifty times slower; alone it costs nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from litdraft.cli.main import exit_code, prepared, run_job
from litdraft.evaluation.run import evaluate
from litdraft.runs.restore import restored
from litdraft.studies.run import study

CONF = Path(__file__).resolve().parent / "conf"


@hydra.main(version_base="1.3", config_path="conf", config_name="evaluate")
def main(config: DictConfig) -> float:
    arguments = list(HydraConfig.get().overrides.task)
    config = restored(config, arguments)
    return run_job(evaluate if config.study is None else study, config)


if __name__ == "__main__":
    prepared(CONF, "evaluate")
    main()
    sys.exit(exit_code())
