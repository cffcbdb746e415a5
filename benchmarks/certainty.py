"""How certain small targets are, on books, news and stories: docs/word-completion.md's figures.

    python benchmarks/certainty.py                  # all of it, a minute or two on one core
    python benchmarks/certainty.py mix-13m-books    # parts of it

A study whose study.json is there already is not made again; delete it below outputs/ to repeat it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

SHARED = Path(os.environ.get("LITDRAFT_SHARED") or "../shared")
RESULTS = Path("benchmarks/results/study")
MIX = ["target=llama", f"target.path={SHARED}/targets/mix-13m"]
STORIES260K = [
    "target=llama2c", f"target.path={SHARED}/targets/stories260K/stories260K.bin",
    f"target.tokenizer={SHARED}/targets/stories260K/tok512.model",
]  # fmt: skip
# None of these was in the training text of mix-13m.
BOOKS = ["data=books", f"data.path={SHARED}/data/books", "data.test=alice"]
NEWS = ["data=cnn_dailymail", f"data.path={SHARED}/data/cnndm", "data.loss=all"]
STORIES = [
    "data=text", f"data.path={SHARED}/data/tinystories/tinystories_validation_397KB.txt",
    "data.length=128",
]  # fmt: skip
STUDIES = {
    "mix-13m-books": [*MIX, *BOOKS],
    "mix-13m-news": [*MIX, *NEWS],
    "mix-13m-stories": [*MIX, *STORIES],
    "stories260K-stories": [*STORIES260K, *STORIES],
}


def study(name: str) -> None:
    if not (Path("outputs") / f"study-{name}" / "study.json").exists():
        words = ["study=certainty", "prompts=128", f"name=study-{name}", *STUDIES[name]]
        subprocess.run([sys.executable, "evaluate.py", *words], check=True)


def keep(name: str) -> None:
    folder = Path("outputs") / f"study-{name}"
    RESULTS.mkdir(parents=True, exist_ok=True)
    shutil.copy(folder / "study.json", RESULTS / f"{name}.json")
    shutil.copy(folder / "kinds.png", RESULTS / f"{name}-kinds.png")
    print((folder / "study.md").read_text(encoding="utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(STUDIES)}; none: all")
    names = parser.parse_args().names or list(STUDIES)
    for name in names:
        study(name)
    for name in names:  # not before: each report says whether the checkout was clean
        keep(name)


if __name__ == "__main__":
    main()
