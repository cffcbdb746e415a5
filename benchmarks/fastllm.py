"""FastLLM's question, answered on a small T5: can cheap language models draft for an
encoder-decoder? N-grams of orders 1 to 5, a CNN, an LSTM and a small T5, beside lookup over the
source, heads on the decoder's states, and drafters trained on reference text instead.

    python train.py experiment=small_t5 ...           # the target, once (see conf/experiment), then
    python train.py experiment=small_t5_passages ...
    python benchmarks/fastllm.py                      # all rows
    python benchmarks/fastllm.py lstm_lm ngram-5      # some of them
    python benchmarks/fastllm.py --train lstm_lm      # train only; speeds are for a quiet machine
    python benchmarks/fastllm.py --table              # the tables of what is there

Every row is one train.py and one evaluate.py on two tasks at once: restoring sentences of books
(tested on Alice) and summarizing articles of CNN/DailyMail (its test slice). One whose report is
there is not made again. Reports go to benchmarks/results/fastllm/.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
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

from litdraft.reports.schema import Group, Report

RESULTS = Path("benchmarks/results/fastllm")
TARGET = os.environ.get("LITDRAFT_SMALL_T5") or "outputs/small_t5_passages/model"
STEPS, PROMPTS = 1000, 32
TASKS = ("restoration", "cnn_dailymail")
COMMON = [
    "target=seq2seq", f"target.path={TARGET}", "k=4", "data=mixture",
    "+data@data.parts.restoration=restoration", "data.parts.stories=null", "data.parts.wmt14=null",
    f"data.parts.restoration.path={SHARED}/data/books", "data.parts.restoration.test=alice",
    "data.parts.restoration.validation=jungle", "data.parts.restoration.samples=6000",
    "data.parts.restoration.most_words=16",
    f"data.parts.cnn_dailymail.path={SHARED}/data/cnndm", "data.parts.cnn_dailymail.samples=600",
    "data.parts.cnn_dailymail.truncate=right", "data.parts.cnn_dailymail.length=320",
    "data.parts.cnn_dailymail.response_tokens=96",
]  # fmt: skip
TRAINING = ["data.batch_size=16", "trainer.max_epochs=100", "probe_prompts=0",
            "data.validation_prompts=32", "data.validation_tokens=64"]  # fmt: skip
PSEUDO = [f"data.parts.{task}.responses=target" for task in TASKS]
LSTM = ["drafter=lstm", "drafter.width=192", "teacher=hidden"]
T5 = [
    "drafter=t5", "drafter.width=128", "drafter.heads=4", "drafter.inner=384",
    "drafter.layers=1", "drafter.encoder_layers=2", "optimizer.lr=2.0e-3",
]  # fmt: skip
LM = {
    "cnn_lm": ["drafter=cnn_lm", "drafter.width=256"],
    "lstm_lm": ["drafter=lstm_lm", "drafter.width=256"],
    "t5": T5,
}
NGRAMS = {f"ngram-{n}": ["drafter=ngram", f"drafter.order={n}"] for n in range(1, 6)}
HEADS = {
    "lstm": LSTM,
    "lstm-pooled": [*LSTM, "drafter.source=pooled"],
    "lstm-attention": [*LSTM, "drafter.source=attention"],
}
ROWS = {
    **{name: [*chosen, *PSEUDO] for name, chosen in {**NGRAMS, **LM, **HEADS}.items()},
    **{
        f"{name}-reference": chosen
        for name, chosen in {**NGRAMS, **LM, **HEADS}.items()
        if name in ("ngram-3", "lstm_lm", "t5")
    },
}
NO_RUN = {"lookup": ["drafter=lookup"]}


def folder_of(name: str) -> Path:
    return OUTPUTS / f"fastllm-{name}"


def train(name: str) -> None:
    if name not in NO_RUN:
        steps = f"trainer.max_steps={STEPS}"
        trained(folder_of(name), *COMMON, *TRAINING, steps, *ROWS[name])


def evaluate(name: str) -> None:
    folder = folder_of(name)
    choices = [f"run={folder}"]
    if name in NO_RUN:
        choices = [*NO_RUN[name], *COMMON, f"name={folder.name}"]
    report = evaluated(folder, *choices, f"prompts={PROMPTS}", "batch=1", "max_new_tokens=96")
    keep(report, RESULTS / f"{name}.json")


def tables() -> str:
    """A table for each task, a line for each row: the greedy figures, and after a slash those at
    temperature 1; then what lookup and an untrained head score, and how good the texts are."""
    found = kept(RESULTS)
    parts = [rows_of(found, task) for task in TASKS]
    return "\n\n".join([*parts, *(floors(found, task) for task in TASKS if found)])


def rows_of(found: dict[str, Report], task: str) -> str:
    head = ["drafter", "tokens per round", "accepted at 1, 2, 3, 4", "speedup", "all: speedup",
            "draft ms", "parameters", "training s", "repeated 4-grams"]  # fmt: skip
    order = sorted(found, key=lambda name: found[name].groups[task].mean_acceptance_length)
    return f"**{task}**\n\n{table(head, [line(name, found[name], task) for name in order])}"


def line(name: str, report: Report, task: str) -> list[str]:
    def of_task(tell: Callable[[Group], str]) -> str:
        return both(report, lambda block: tell(block.groups[task]))

    seconds = report.training_seconds
    return [
        f"`{name}`", of_task(length), of_task(by_position),
        of_task(lambda part: f"{part.speedup:.2f}"), both(report, speedup),
        f"{report.draft_milliseconds or 0:.2f}", f"{report.parameters:,}",
        "" if seconds is None else f"{seconds:,.0f}", of_task(repeats),
    ]  # fmt: skip


def floors(found: dict[str, Report], task: str) -> str:
    """By replay, and the texts compared with their references: plain, then drafted."""
    report = found.get("lstm") or next(iter(found.values()))
    lines = []
    for block in report.samplings:
        part = block.groups[task]
        floor = " and ".join(f"{name} {value:.2f}" for name, value in part.floor._asdict().items())
        assert part.quality is not None
        quality = "; ".join(
            ", ".join(f"{name} {100 * value:.1f}" for name, value in vars(side).items())
            for side in (part.quality.baseline, part.quality.drafted)
        )
        lines.append(f"temperature {block.temperature:g}: {floor}; {quality}")
    return f"{task}, " + "\n\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*NO_RUN, *ROWS]
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--train", action="store_true", help="evaluate nothing")
    parser.add_argument("--table", action="store_true", help="make nothing")
    asked = parser.parse_args()
    for name in [] if asked.table else asked.rows or known:
        train(name)
        if not asked.train:
            evaluate(name)
    print(tables())


if __name__ == "__main__":
    main()
