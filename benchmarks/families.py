"""Every drafter family on one target, one mixture of text and one budget, judged alike.

    python benchmarks/families.py                 # all rows, about two hours on two cores
    python benchmarks/families.py lstm mtp-ce     # some of them
    python benchmarks/families.py --seconds       # what a step of each takes, on a quiet machine
    python benchmarks/families.py --table         # the table of what is there

The text is stories, WMT14 and CNN/DailyMail prompts that mix-13m continued itself; every row takes
STEPS steps of the same batches, those of LONG four times as many. Each row is one train.py and one
evaluate.py; one whose report is there is not made again. Reports go to
benchmarks/results/families/, the table beside them. Training seconds are steps times what
`--seconds` measured, so that rows trained on different days compare.
"""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

from runs import (
    OUTPUTS,
    SHARED,
    both,
    by_position,
    evaluated,
    keep,
    kept,
    length,
    repeats,
    speedup,
    table,
    trained,
)  # fmt: skip

from litdraft.reports.schema import Report

RESULTS = Path("benchmarks/results/families")
SECONDS = RESULTS.with_name("families-seconds.json")
STEPS, LONG_STEPS, TIMED_STEPS, PROMPTS = 600, 2400, 40, 48
PARTS = ("stories", "wmt14", "cnn_dailymail")
STORIES = [
    f"{SHARED}/data/tinystories/{name}.txt"
    for name in ("tinystories_v2gpt4_train_10klines", "tinystories_train_head_944KB")
]
COMMON = [
    "target=llama", f"target.path={SHARED}/targets/mix-13m", "k=3", "data=mixture",
    f"data.parts.stories.path=[{','.join(STORIES)}]", "data.parts.stories.samples=2400",
    "data.parts.stories.length=192", f"data.parts.wmt14.path={SHARED}/data/wmt14/newstest",
    "data.parts.wmt14.samples=3000", f"data.parts.cnn_dailymail.path={SHARED}/data/cnndm",
    "data.parts.cnn_dailymail.validation=none", "data.parts.cnn_dailymail.held_out_rows=64",
    *(f"data.parts.{part}.responses=target" for part in PARTS),
]  # fmt: skip
TRAINING = [
    "teacher=hidden",
    "data.batch_size=16",
    "trainer.max_epochs=100",
    "probe_prompts=0",
]
U = "drafter.vocabulary=4096"
LSTM = ["drafter=lstm", "drafter.width=256", U]
MTP = ["drafter=mtp", U]
NO_RUN = {"lookup": ["drafter=lookup"], "suffix": ["drafter=suffix"]}
ROWS = {
    "unigram": ["drafter=ngram", "drafter.order=1"],
    "ngram": ["drafter=ngram"],
    "lstm": LSTM,
    "lstm-ce": [*LSTM, "objective=ce"],
    "lstm-lk_hybrid": [*LSTM, "objective=lk_hybrid"],
    "mtp": MTP,
    "mtp-ce": [*MTP, "objective=ce"],
    "mtp-lk_hybrid": [*MTP, "objective=lk_hybrid"],
    "mtp-gru": [*MTP, "drafter.correction=gru", "drafter.rank=128"],
    "matrix": ["drafter=matrix", U],
    "mlp": ["drafter=mlp", "drafter.width=256", U],
    "cnn": ["drafter=cnn", "drafter.width=256", U],
    "cnn_lm": ["drafter=cnn_lm", "drafter.width=320", U],
    "lstm_lm": ["drafter=lstm_lm", "drafter.width=320", U],
    "transformer": ["drafter=transformer", "drafter.begin=target", "optimizer.lr=1.0e-3"],
}
LONG = {
    "lstm-ce-2400": ROWS["lstm-ce"],
    "transformer-ce-2400": [*ROWS["transformer"], "objective=ce"],
}
COUNTED = ("unigram", "ngram")


def steps(name: str) -> int:
    return LONG_STEPS if name in LONG else STEPS


def choices_of(name: str, steps: int) -> list[str]:
    return [*COMMON, *TRAINING, f"trainer.max_steps={steps}", *{**ROWS, **LONG}[name]]


def make(name: str) -> None:
    """Train and evaluate."""
    folder = OUTPUTS / f"families-{name}"
    if name in NO_RUN:
        choices = [*NO_RUN[name], *COMMON, f"name={folder.name}"]
    else:
        trained(folder, *choices_of(name, steps(name)))
        choices = [f"run={folder}"]
    keep(evaluated(folder, *choices, f"prompts={PROMPTS}"), RESULTS / f"{name}.json")


def timed(name: str) -> float:
    """Seconds a step, with next to no validation; of counting, all of it."""
    folder = OUTPUTS / f"families-seconds-{name}"
    shutil.rmtree(folder, ignore_errors=True)
    little = ["data.validation_prompts=1", "data.validation_tokens=4"]
    manifest = trained(folder, *choices_of(name, TIMED_STEPS), *little)
    shutil.rmtree(folder)
    seconds: float = manifest["training_seconds"]
    return seconds if name in COUNTED else seconds / TIMED_STEPS


def rows() -> str:
    """A line for each row: the greedy figures, and after a slash those at temperature 1."""
    head = [
        "drafter", "tokens per round", *(part.replace("_", "/") for part in PARTS),
        "accepted at 1, 2, 3",
        "draft ms", "speedup", "parameters", "training s", "repeated 4-grams",
    ]  # fmt: skip
    found = kept(RESULTS)
    order = sorted(found, key=lambda name: found[name].other_sampling.mean_acceptance_length)
    lines = table(head, [line(name, found[name]) for name in order])
    if "lstm" not in found:
        return lines
    untrained = both(found["lstm"], lambda block: f"{block.floor.untrained:.2f}")
    return f"{lines}\n\nAn untrained LSTM head: {untrained} tokens per round."


def line(name: str, report: Report) -> list[str]:
    step = json.loads(SECONDS.read_text()).get(name) if SECONDS.exists() else None
    took = None if step is None else step * (1 if name in COUNTED else steps(name))
    return [
        f"`{name}`", both(report, length),
        *(both(report, lambda b, part=part: length(b.groups[part])) for part in PARTS),  # type: ignore[misc]
        both(report, by_position), f"{report.draft_milliseconds or 0:.2f}", both(report, speedup),
        f"{report.parameters:,}", "" if took is None else f"{took:,.0f}", both(report, repeats),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*NO_RUN, *ROWS, *LONG]
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--seconds", action="store_true", help="time a step of each")
    parser.add_argument("--table", action="store_true", help="make nothing")
    asked = parser.parse_args()
    if asked.seconds:
        seconds = {name: timed(name) for name in asked.rows or [*ROWS, *LONG]}
        known_before = json.loads(SECONDS.read_text()) if SECONDS.exists() else {}
        SECONDS.write_text(
            json.dumps({**known_before, **seconds}, indent=2) + "\n", encoding="utf-8"
        )
        return
    for name in [] if asked.table else asked.rows or known:
        make(name)
    print(rows())


if __name__ == "__main__":
    main()
