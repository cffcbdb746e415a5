"""Two llama2.c checkpoints of one tokenizer, one drafting for the other: as they are, and after the
drafter was trained on what the target writes.

    python benchmarks/llama2c_pair.py            # a few minutes on two cores
    python benchmarks/llama2c_pair.py --table    # the table of what is there

A run whose report is there already is not made again; delete it below outputs/ to repeat it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from runs import OUTPUTS, SHARED, evaluated, table, trained
from table import HEAD, rows

from litdraft.io import read_json, write_json
from litdraft.reports.plain import to_plain
from litdraft.reports.schema import Report

RESULT = Path("benchmarks/results/llama2c_pair.json")
NAME = "llama2c-pair"
STORIES = [
    f"{SHARED}/data/tinystories/{name}.txt"
    for name in ("tinystories_v2gpt4_train_10klines", "tinystories_train_head_944KB")
]
PAIR = [
    "experiment=llama2c",
    f"target.path={SHARED}/targets/stories260K/stories260K.bin",
    f"target.tokenizer={SHARED}/targets/stories260K/tok512.bin",
    f"drafter.path={SHARED}/targets/llama2xs_279K/model.bin",
    "data=text", f"data.path=[{','.join(STORIES)}]", "data.length=192",
]  # fmt: skip
TRAINING = [
    "data.responses=target", "data.samples=3000", "optimizer.lr=2.0e-3", "trainer.max_steps=600",
    "trainer.max_epochs=100", "probe_prompts=0",
]  # fmt: skip


def make() -> None:
    """Both reports on the same prompts: the seed deals them out."""
    before, run = OUTPUTS / f"{NAME}-before", OUTPUTS / NAME
    as_it_is = evaluated(before, f"name={before.name}", *PAIR, "prompts=64")
    trained(run, *PAIR, *TRAINING)
    after = evaluated(run, f"run={run}", "prompts=64")
    write_json(RESULT, {"as it is": to_plain(as_it_is), "trained": to_plain(after)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", action="store_true", help="only print what is there")
    if not parser.parse_args().table:
        make()
    reports = {name: Report.of(values, name) for name, values in read_json(RESULT).items()}
    print(table(HEAD, [row for name, report in reports.items() for row in rows(report, name)]))


if __name__ == "__main__":
    main()
