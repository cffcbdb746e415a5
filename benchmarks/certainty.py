"""How certain small targets are, on books, news and stories: docs/word-completion.md's figures.

    python benchmarks/certainty.py                  # all of it, a minute or two on one core
    python benchmarks/certainty.py mix-13m-books    # parts of it

A study whose study.json is there already is not made again; delete it below outputs/ to repeat it.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from runs import OUTPUTS, SHARED, ran

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


def study(name: str) -> Path:
    folder = folder_of(name)
    words = ["study=certainty", "prompts=128", f"name={folder.name}", *STUDIES[name]]
    return ran(folder / "study.json", *words)


def show(name: str, found: Path) -> None:
    shutil.copy(found, RESULTS / f"{name}.json")
    shutil.copy(folder_of(name) / "kinds.png", RESULTS / f"{name}-kinds.png")
    print((folder_of(name) / "study.md").read_text(encoding="utf-8"))


def folder_of(name: str) -> Path:
    return OUTPUTS / f"study-{name}"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help=f"of {', '.join(STUDIES)}; none: all")
    names = parser.parse_args().names or list(STUDIES)
    found = {name: study(name) for name in names}
    for name in names:  # not before: each report says whether the checkout was clean
        show(name, found[name])


if __name__ == "__main__":
    main()
