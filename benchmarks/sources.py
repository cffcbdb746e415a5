"""Drafters trained on real text: every source, its own responses against the target's, a teacher
kept as int8, and acceptance against the number of samples. Each run is one train.py and one
evaluate.py.

    python benchmarks/sources.py                 # all of it, about two hours on two cores
    python benchmarks/sources.py wmt14 samples   # parts of it

A run whose report is there already is not made again; delete it below outputs/ to repeat it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from runs import (
    OUTPUTS,
    SHARED,
    both,
    evaluated,
    keep,
    length,
    repeats,
    speedup,
    table,
    trained,
)  # fmt: skip

from litdraft.reports.plots import BLUE, ORANGE, drawn
from litdraft.reports.schema import Report

RESULTS = Path("benchmarks/results")
STEPS = 600
COMMON = [
    "target=llama", f"target.path={SHARED}/targets/mix-13m", "drafter=lstm", "drafter.width=192",
    "drafter.vocabulary=2048", "k=4", "teacher=hidden", "trainer.max_epochs=1000",
    "probe_prompts=0",
]  # fmt: skip
SOURCES = {
    "wmt14": [f"data.path={SHARED}/data/wmt14/newstest", "data.batch_size=32"],
    "cnn_dailymail": [f"data.path={SHARED}/data/cnndm", "data.batch_size=16"],
    "books": [
        f"data.path={SHARED}/data/books",
        "data.test=alice",
        "data.batch_size=16",
        "data.length=256",
    ],
}
# Validated about six times, whatever an epoch is.
EVERY = {"wmt14": 1, "cnn_dailymail": 6, "books": 1}
SAMPLES = (250, 500, 1000, 2000, 4000)  # and 8,000, which is wmt14-target


NAMES = (
    *(f"{source}-{responses}" for source in SOURCES for responses in ("original", "target")),
    "wmt14-target-int8",
    *(f"samples-{count}" for count in SAMPLES),
)


def run(name: str, source: str, *choices: str, every: int = 1, steps: int = STEPS) -> None:
    """Train and evaluate; the report goes to results/."""
    folder = OUTPUTS / name
    each = f"+trainer.check_val_every_n_epoch={every}"
    chosen = [*COMMON, *SOURCES[source], *choices, f"trainer.max_steps={steps}", each]
    trained(folder, f"data={source}", *chosen)
    keep(evaluated(folder, f"run={folder}", "prompts=64"), RESULTS / f"{name}.json")


def report(name: str) -> Report:
    return Report.load(RESULTS / f"{name}.json")


def samples() -> None:
    """Tokens a round against training prompts, the target's responses, equal numbers of steps."""
    for count in SAMPLES:
        every = max(1, 100 * 32 // count)
        choices = (f"data.samples={count}", "data.responses=target")
        run(f"samples-{count}", "wmt14", *choices, every=every)
    draw_samples()


def draw_samples() -> None:
    told = {count: report(f"samples-{count}") for count in SAMPLES}
    told[8000] = report("wmt14-target")

    def draw(axes: Any) -> None:
        for number, colour, label in ((0, BLUE, "greedy"), (1, ORANGE, "temperature 1")):
            blocks = [found.samplings[number] for found in told.values()]
            lengths = [block.mean_acceptance_length for block in blocks]
            axes.plot(list(told), lengths, "o-", color=colour, label=label)
            lookup = [block.floor.lookup for block in blocks]
            axes.plot(list(told), lookup, ":", color=colour, label=f"lookup, {label}")
        axes.set(xscale="log", xlabel="training prompts", ylabel="tokens per round")
        axes.set_xticks(list(told), [str(count) for count in told], minor=False)
        axes.minorticks_off()
        axes.legend(frameon=False, ncols=2, loc="lower center", bbox_to_anchor=(0.5, 1))

    drawn(draw, RESULTS / "samples.png")


def rows(names: list[str]) -> str:
    """A line a run: greedy figures, and behind a slash those at temperature 1."""
    head = ["run", "drafter", "lookup", "untrained", "repeated 4-grams", "speedup"]
    told = {name: report(name) for name in names}
    return table(head, [
        [
            f"`{name}`", both(found, length),
            both(found, lambda block: f"{block.floor.lookup:.2f}"),
            both(found, lambda block: f"{block.floor.untrained:.2f}"),
            both(found, repeats), both(found, speedup),
        ]
        for name, found in told.items()
    ])  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    known = [*SOURCES, "samples", "int8"]
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(known)}; all by default")
    parts = parser.parse_args().parts or known
    for source in SOURCES:
        if source in parts:
            for responses in ("original", "target"):
                choice = f"data.responses={responses}"
                run(f"{source}-{responses}", source, choice, every=EVERY[source])
    if "int8" in parts:
        choices = ("data.responses=target", "teacher.dtype=int8")
        run("wmt14-target-int8", "wmt14", *choices, every=EVERY["wmt14"])
    if "samples" in parts:
        samples()
    made = [name for name in NAMES if (RESULTS / f"{name}.json").exists()]
    print(rows(made))


if __name__ == "__main__":
    main()
