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
import json
import os
from pathlib import Path
from typing import Any

from families import SHARED, launch

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
    return Path("outputs") / f"fastllm-{name}"


def train(name: str) -> None:
    """Unless that is done."""
    folder = folder_of(name)
    if name in NO_RUN or (folder / "manifest.json").exists():
        return
    words = [f"name={folder.name}", *COMMON, *TRAINING, f"trainer.max_steps={STEPS}", *ROWS[name]]
    resume = (folder / "checkpoints" / "last.ckpt").exists()
    launch("train.py", *words, *(["resume=true"] if resume else []))


def evaluate(name: str) -> None:
    """Unless that is done."""
    folder = folder_of(name)
    choices = [f"run={folder}"]
    if name in NO_RUN:
        choices = [*NO_RUN[name], *COMMON, f"name={folder.name}"]
    if not (folder / "report.json").exists():
        launch("evaluate.py", *choices, f"prompts={PROMPTS}", "batch=1", "max_new_tokens=96")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if name not in NO_RUN:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        report["training_seconds"] = manifest["training_seconds"]
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(report, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def table() -> str:
    """A table a task, a line a row, the greedy figures and behind a slash those at temperature 1;
    then what lookup and an untrained head score, and how good the texts are."""
    found = {path.stem: json.loads(path.read_text()) for path in sorted(RESULTS.glob("*.json"))}
    parts = [rows_of(found, task) for task in TASKS]
    return "\n\n".join([*parts, *(floors(found, task) for task in TASKS if found)])


def rows_of(found: dict[str, Any], task: str) -> str:
    head = ["drafter", "tokens a round", "accepted at 1, 2, 3, 4", "speedup", "all: speedup",
            "draft ms", "parameters", "training s", "repeated 4-grams"]  # fmt: skip
    lines = [f"**{task}**", "", "| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    order = sorted(found, key=lambda name: found[name]["groups"][task]["mean_acceptance_length"])
    return "\n".join([*lines, *(line(name, found[name], task) for name in order)])


def line(name: str, report: dict[str, Any], task: str) -> str:
    blocks = [(block, block["groups"][task]) for block in (report, report["beside"])]

    def both(tell: Any) -> str:
        return " / ".join(tell(*pair) for pair in blocks)

    seconds = report.get("training_seconds")
    cells = [
        f"`{name}`",
        both(lambda _, b: f"{b['mean_acceptance_length']:.2f}"),
        both(lambda _, b: " ".join(f"{100 * rate:.0f}" for rate in b["conditional_acceptance"])),
        both(lambda _, b: f"{b['speedup']:.2f}"),
        both(lambda b, _: "{value:.2f} [{low:.2f}, {high:.2f}]".format(**b["speedup"])),
        f"{report['draft_milliseconds']:.2f}",
        f"{report['parameters']:,}",
        "" if seconds is None else f"{seconds:,.0f}",
        both(lambda _, b: f"{100 * b['repeated_4grams']:.0f} %"),
    ]
    return "| " + " | ".join(cells) + " |"


def floors(found: dict[str, Any], task: str) -> str:
    """By replay, and the texts judged by their references: plain, then drafted."""
    report = found.get("lstm") or next(iter(found.values()))
    told = []
    for block in (report, report["beside"]):
        part = block["groups"][task]
        floor = " and ".join(f"{name} {value:.2f}" for name, value in part["floor"].items())
        sides = (part["quality"][side] for side in ("baseline", "drafted"))
        quality = "; ".join(
            ", ".join(f"{name} {100 * value:.1f}" for name, value in side.items()) for side in sides
        )
        told.append(f"temperature {block['temperature']:g}: {floor}; {quality}")
    return f"{task}, " + "\n\n".join(told)


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
    print(table())


if __name__ == "__main__":
    main()
