"""Which of a target's layers know the rest of a sentence, and for how long one state helps.

    python benchmarks/sentence_layers.py             # six short trainings, a table and a plot
    python benchmarks/sentence_layers.py --train 6   # one of them: [] none

`drafter=sentence` reads the residual stream behind one layer at the last token before a sentence,
and nothing but tokens after that. Judged on what the target writes greedily behind openings of
*Alice*, which it was not trained on: how often its likeliest token is the target's, by how many
tokens of the sentence it has read. The same model without any state stands beside (`[]`).
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from certainty import BOOKS, MIX
from hydra import initialize_config_dir
from matplotlib.axes import Axes
from runs import OUTPUTS, Values, table, trained

from litdraft.config.checks import checked
from litdraft.config.evaluation import evaluation_options, evaluation_parts
from litdraft.config.resolvers import register
from litdraft.decoding.autoregress import Autoregress
from litdraft.evaluation.setup import open_setup, prompts_of
from litdraft.io import write_json
from litdraft.protocols import TrainingBatch
from litdraft.reports.plots import drawn
from litdraft.reports.provenance import provenance
from litdraft.runs.restore import evaluation_config
from litdraft.sampling import Sampling

RESULTS = Path("benchmarks/results/word_completion")
LAYERS = {"[]": "[]", **{str(n): f"[{n}]" for n in (0, 2, 4, 6, 8)}}
STEPS, PROMPTS, NEW = 150, 64, 128
COMMON = ["experiment=sentence_phrasing", *MIX, *BOOKS, "data.validation=jungle",
          "data.samples=3000", f"trainer.max_steps={STEPS}", "trainer.max_epochs=100",
          "probe_prompts=0", "dtype=bfloat16"]  # fmt: skip
STEPS_READ = (1, 2, 3, 4, 6, 8, 12, 16, 24)  # edges of bins: tokens of the sentence read


def folder_of(name: str) -> Path:
    return OUTPUTS / f"layers-{name.strip('[]') or 'none'}"


def train(name: str) -> Values:
    return trained(folder_of(name), *COMMON, f"drafter.taps={LAYERS[name]}")


@torch.inference_mode()
def agreement(name: str) -> dict[str, Any]:
    """By tokens read of the sentence, over the target's own greedy text."""
    from lightning.fabric import Fabric

    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        config = checked(evaluation_config([f"run={folder_of(name)}", "decoding=speculative"]))
    fabric = Fabric(accelerator="cpu", devices=1)
    bench = open_setup(evaluation_parts(config), evaluation_options(config), fabric)
    prompts = prompts_of(bench, "test", PROMPTS).prompts()
    right, read = [], []
    for at in range(0, len(prompts), 8):
        some = prompts[at : at + 8]
        texts = Autoregress(bench.target, Sampling()).generate(some, NEW).tokens
        for prompt, text in zip(some, texts, strict=True):
            tokens_BT = torch.tensor([[*prompt, *text]])
            prompt_B = torch.tensor([len(prompt)])
            taps = bench.target.forward(tokens_BT[:, :-1], taps=bench.drafter.needs.taps).taps_BPC
            batch = TrainingBatch(
                tokens_BT, torch.ones_like(tokens_BT[:, 1:]).bool(), None, taps, 1, None, prompt_B
            )
            drafter: Any = bench.drafter
            guess = drafter.guesses(batch)
            place_S = torch.arange(len(prompt), tokens_BT.shape[1] - 1)
            right.append((guess.token_BS[0] == tokens_BT[0, 1:])[place_S])
            read.append(place_S - guess.begin_BS[0, place_S] + 1)
    right_n, read_n = torch.cat(right).numpy(), torch.cat(read).numpy()
    bins = np.digitize(read_n, STEPS_READ)
    manifest = train(name)
    return {
        "all": float(right_n.mean()),
        "by_prompt": [[int(some.sum()), len(some)] for some in right],
        "by_read": [float(right_n[bins == b].mean()) for b in range(1, len(STEPS_READ) + 1)],
        "positions": [int((bins == b).sum()) for b in range(1, len(STEPS_READ) + 1)],
        "validation_length": manifest["val/mean_acceptance_length"],
        "training_seconds": manifest["training_seconds"],
    }


def gained(row: Values, none: Values, resamples: int = 5000) -> tuple[float, float, float]:
    """Points that a state adds over none, and their 95 % by a paired bootstrap over prompts: half
    of a greedy text repeats what it said."""
    some_n2, none_n2 = np.array(row["by_prompt"]), np.array(none["by_prompt"])
    drawn_rn = np.random.default_rng(0).integers(len(some_n2), size=(resamples, len(some_n2)))
    some_r2, none_r2 = some_n2[drawn_rn].sum(1), none_n2[drawn_rn].sum(1)
    points_r = 100 * (some_r2[:, 0] / some_r2[:, 1] - none_r2[:, 0] / none_r2[:, 1])
    low, high = np.percentile(points_r, (2.5, 97.5))
    return 100 * (row["all"] - none["all"]), float(low), float(high)


def draw(axes: Axes, found: dict[str, Any]) -> None:
    for name, row in found.items():
        (line,) = axes.plot(
            STEPS_READ,
            row["by_read"],
            "o-",
            ms=3,
            label="none" if name == "[]" else f"layer {name}",
        )
        if name == "[]":
            line.set(color="black", linestyle=":")
    axes.set(xlabel="tokens of the sentence read, at least", xscale="log",
             ylabel="likeliest token is the target's")  # fmt: skip
    axes.set_xticks(STEPS_READ, [str(n) for n in STEPS_READ])
    axes.set_title("One state at the sentence's beginning, by layer")
    axes.legend(frameon=False, fontsize=7)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("layers", nargs="*", help=f"of {', '.join(LAYERS)}; all by default")
    parser.add_argument("--train", action="store_true", help="judge nothing")
    asked = parser.parse_args()
    names = asked.layers or list(LAYERS)
    for name in names:
        train(name)
    if asked.train:
        return
    register()
    found = {name: agreement(name) for name in names}
    told = {"layers": found, "read": STEPS_READ, **vars(provenance(torch.device("cpu")))}
    write_json(RESULTS / "layers.json", told)
    drawn(lambda axes: draw(axes, found), RESULTS / "layers.png")

    def more(row: Values) -> str:
        if "[]" not in found or row is found["[]"]:
            return ""
        return "{:+.1f} [{:+.1f}, {:+.1f}]".format(*gained(row, found["[]"]))

    head = [
        "layer",
        "agrees",
        "more than none",
        *map(str, STEPS_READ),
        "tokens a round, validation",
    ]
    lines = [
        [name, f"{100 * row['all']:.1f}", more(row), *(f"{100 * x:.0f}" for x in row["by_read"]),
         f"{row['validation_length']:.2f}"]
        for name, row in found.items()
    ]  # fmt: skip
    print(table(head, lines))


if __name__ == "__main__":
    main()
