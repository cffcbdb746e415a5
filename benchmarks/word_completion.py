"""What word completion saves, and what it costs: gates in front of small targets, on books and
stories that neither has seen, beside lossless drafters on the same prompts.

    python benchmarks/word_completion.py                     # all rows
    python benchmarks/word_completion.py mix-13m-lstm        # some of them
    python benchmarks/word_completion.py --train mix-13m-cnn # train only; time on a quiet machine

A row is one train.py and its evaluations: LOSSY (decoding=word_completion, or phrasing), and
lossless behind the same gate. What is there is not made again (see runs.py).
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from certainty import BOOKS, MIX, STORIES, STORIES260K
from runs import OUTPUTS, both, evaluated, keep, length, ran, speedup, trained

RESULTS = Path("benchmarks/results/word_completion")
STEPS, PROMPTS, NEW = 400, 24, 96
WANTED = "decoding.agreement=[0.8,0.9,0.95,0.99,0.999]"
TRAINING = [f"trainer.max_steps={STEPS}", "trainer.max_epochs=100", "probe_prompts=0",
            "dtype=bfloat16"]  # fmt: skip
ON_BOOKS = [*MIX, *BOOKS, "data.validation=jungle", "data.samples=3000"]
ON_TINY = ["target=tiny", *BOOKS, "data.validation=jungle", "data.samples=3000"]
ON_STORIES = [*STORIES260K, *STORIES, "data.responses=target", "data.response_tokens=96"]
WORDS, PHRASES = "experiment=word_completion", "experiment=sentence_phrasing"
ROWS = {
    "mix-13m-lstm": [WORDS, *ON_BOOKS],
    "mix-13m-cnn": [WORDS, *ON_BOOKS, "drafter.body=cnn", "drafter.layers=4"],
    "mix-13m-ngram": [WORDS, *ON_BOOKS, "drafter.body=ngram"],
    "mix-13m-sentence": [PHRASES, *ON_BOOKS],
    "mix-13m-lstm-head": [WORDS, *ON_BOOKS, "drafter=lstm", "k=3"],
    "tiny-lstm": [WORDS, *ON_TINY],
    "tiny-sentence": [PHRASES, *ON_TINY],
    "tiny-lstm-head": [WORDS, *ON_TINY, "drafter=lstm", "k=3"],
    "stories260K-lstm": [WORDS, *ON_STORIES],
    "stories260K-ngram": [WORDS, *ON_STORIES, "drafter.body=ngram"],
    "stories260K-sentence": [PHRASES, *ON_STORIES],
    "stories260K-lstm-head": [WORDS, *ON_STORIES, "drafter=lstm", "k=3"],
}
KNOWN = [*ROWS, "mix-13m-lstm-eager", "mix-13m-lstm-head-eager"]
EAGER = "-eager"  # by torch's own operations, target and drafter alike
LOSSY = ("tradeoff.png", "speedup.png", "ranked.png", "calibration.png")


def folder_of(name: str) -> Path:
    return OUTPUTS / f"words-{name}"


def train(name: str) -> None:
    if name.endswith(EAGER):  # the same run, in front of a target that is several times as slow
        train(name.removesuffix(EAGER))
        told = shutil.ignore_patterns("report.*", "lossy.*", "*.png")
        source, to = folder_of(name.removesuffix(EAGER)), folder_of(name)
        shutil.copytree(source, to, ignore=told, dirs_exist_ok=True)
    else:
        trained(folder_of(name), *TRAINING, *ROWS[name])


def evaluate(name: str) -> None:
    """Lossless behind the gate, then lossy; a head that has no gate only the first."""
    folder, gated = folder_of(name), "head" not in name
    common = [f"run={folder}", f"prompts={PROMPTS}", "batch=1", f"max_new_tokens={NEW}"]
    if name.endswith(EAGER):
        common += ["fused=false", "repeats=1"]
    report = evaluated(folder, *common, *(["decoding=gated"] if gated else []))
    keep(report, RESULTS / f"{name}.json")
    print(
        name,
        both(report, length),
        both(report, speedup),
        f"{report.draft_milliseconds or 0:.3f} ms",
    )
    if gated:
        mode = "phrasing" if name.endswith("sentence") else "word_completion"
        asked = [WANTED] if mode == "word_completion" else []
        lossy = ran(folder / "lossy.json", *common, f"decoding={mode}", *asked)
        shutil.copy(lossy, RESULTS / f"{name}-lossy.json")
        for plot in LOSSY:
            shutil.copy(folder / plot, RESULTS / f"{name}-lossy-{plot}")
        print((folder / "lossy.md").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("rows", nargs="*", help=f"of {', '.join(KNOWN)}; all by default")
    parser.add_argument("--train", action="store_true", help="evaluate nothing")
    asked = parser.parse_args()
    for name in asked.rows or KNOWN:
        train(name)
        if not asked.train:
            evaluate(name)


if __name__ == "__main__":
    main()
