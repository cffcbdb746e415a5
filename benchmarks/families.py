"""Every drafter family on one target, one mixture of text and one budget, judged alike.

    python benchmarks/families.py                 # all rows, about two hours on two cores
    python benchmarks/families.py lstm mtp-ce     # some of them
    python benchmarks/families.py --table         # the table of what is there

The text is stories, WMT14 and CNN/DailyMail prompts that mix-13m continued itself; every row takes
STEPS steps of the same batches. Each row is one train.py and one evaluate.py; one whose report is
there is not made again. Reports go to benchmarks/results/families/, the table beside them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

SHARED = Path(os.environ.get("LITDRAFT_SHARED") or "../shared")
RESULTS = Path("benchmarks/results/families")
STEPS, PROMPTS = 600, 48
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
    "teacher=hidden", "data.batch_size=16", "trainer.max_epochs=100", "probe_prompts=0",
    f"trainer.max_steps={STEPS}",
]  # fmt: skip
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


def make(name: str) -> None:
    """Train and evaluate, unless that is done."""
    folder = Path("outputs") / f"families-{name}"
    if name in NO_RUN:
        choices = [*NO_RUN[name], *COMMON, f"name=families-{name}"]
    else:
        if not (folder / "manifest.json").exists():
            resume = (folder / "checkpoints" / "last.ckpt").exists()
            words = [f"name=families-{name}", *COMMON, *TRAINING, *ROWS[name]]
            launch("train.py", *words, *(["resume=true"] if resume else []))
        choices = [f"run={folder}"]
    if not (folder / "report.json").exists():
        launch("evaluate.py", *choices, f"prompts={PROMPTS}")
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    if (folder / "manifest.json").exists():
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        report["training_seconds"] = manifest["training_seconds"]
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(report, indent=2) + "\n"
    (RESULTS / f"{name}.json").write_text(text, encoding="utf-8")


def launch(*words: str) -> None:
    print("python", *words, flush=True)
    subprocess.run([sys.executable, *words], check=True)


def table() -> str:
    """A line a row, the greedy figures and behind a slash those at temperature 1."""
    head = [
        "drafter", "tokens a round", *(part.replace("_", "/") for part in PARTS),
        "accepted at 1, 2, 3",
        "draft ms", "speedup", "parameters", "training s", "repeated 4-grams",
    ]  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|" + " --- |" * len(head)]
    found = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json")}
    order = sorted(found, key=lambda name: found[name]["beside"]["mean_acceptance_length"])
    lines += [line(name, found[name]) for name in order]
    some = found.get("lstm")
    if some is not None:
        untrained = " / ".join(f"{b['floor']['untrained']:.2f}" for b in (some, some["beside"]))
        lines.append(f"\nAn untrained LSTM head: {untrained} tokens a round.")
    return "\n".join(lines)


def line(name: str, report: dict[str, Any]) -> str:
    blocks = (report, report["beside"])

    def both(tell: Any) -> str:
        return " / ".join(tell(block) for block in blocks)

    def length(part: Any) -> str:
        return f"{part['mean_acceptance_length']:.2f}"

    trained = report.get("training_seconds")
    cells = [
        f"`{name}`", both(length),
        *(both(lambda b, part=part: length(b["groups"][part])) for part in PARTS),
        both(lambda b: " ".join(f"{100 * rate:.0f}" for rate in b["conditional_acceptance"])),
        f"{report['draft_milliseconds']:.2f}",
        both(lambda b: "{value:.2f} [{low:.2f}, {high:.2f}]".format(**b["speedup"])),
        f"{report['parameters']:,}", "" if trained is None else f"{trained:,.0f}",
        both(lambda b: f"{100 * b['repeated_4grams']:.0f} %"),
    ]  # fmt: skip
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*NO_RUN, *ROWS]
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(known)}; all by default")
    parser.add_argument("--table", action="store_true", help="make nothing")
    asked = parser.parse_args()
    for name in [] if asked.table else asked.rows or known:
        make(name)
    print(table())


if __name__ == "__main__":
    main()
