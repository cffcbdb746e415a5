"""Train a drafter: python train.py drafter=lstm k=3. All keys: python train.py --help."""

from __future__ import annotations

import os
import sys
from pathlib import Path

# Before torch: a thread that waits soon gives way. Otherwise one busy neighbour was seen to make
# decoding on two cores fifty times slower; alone it costs nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

import hydra
from omegaconf import DictConfig

from litdraft.cli.jobs import train_and_evaluate
from litdraft.cli.main import exit_code, prepared, run_job

CONF = Path(__file__).resolve().parent / "conf"


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config: DictConfig) -> float:
    return run_job(train_and_evaluate, config)


if __name__ == "__main__":
    prepared(CONF, "train")
    main()
    sys.exit(exit_code())
