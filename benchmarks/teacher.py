"""What a training step costs with the teacher asked every time, and with what it said on disk.

    python benchmarks/teacher.py --out benchmarks/results/teacher.json

Steps of the same batches, taken in turn: the target reading online, its hidden states from the
cache in its own type and as int8. A step is loading the batch, the target's body (or the cache in
its place), and the rest: drafter, both heads, loss, gradients, optimizer. The ceiling is the
speedup if the body took no time at all.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from litdraft.config.resolvers import register
from litdraft.config.training import training_options, training_parts
from litdraft.data.continuations import Writer
from litdraft.data.distributed import Distributed
from litdraft.data.rows.batches import TrainingBatches, collate
from litdraft.data.rows.rows import Row
from litdraft.io import replacing
from litdraft.protocols import TargetSpec, TrainingBatch
from litdraft.reports.provenance import provenance
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.teachers.base import Teacher
from litdraft.teachers.cache import TeacherCache
from litdraft.teachers.hidden import Hidden
from litdraft.teachers.online import Online
from litdraft.teachers.topk import TopK
from litdraft.training.setup import set_up

SHARED = Path(os.environ.get("LITDRAFT_SHARED") or "../shared")
CASES = {
    "wmt14": [f"data.path={SHARED}/data/wmt14/newstest", "data.batch_size=32"],
    "cnn_dailymail": [f"data.path={SHARED}/data/cnndm", "data.batch_size=16"],
    "books": [f"data.path={SHARED}/data/books", "data.test=alice", "data.batch_size=16"],
}
TEACHERS: dict[str, Teacher] = {
    "online": Online(), "hidden": Hidden(), "hidden int8": Hidden("int8"),
}  # fmt: skip
# Width and vocabulary of Llama 3.2 1B, 3.1 8B and 3.1 70B.
SIZES = {"1B": (2048, 128_256), "8B": (4096, 128_256), "70B": (8192, 128_256)}


class Case:
    """One source with everything that a training step needs."""

    def __init__(self, source: str, dtype: str) -> None:
        chosen = [
            "target=llama", f"target.path={SHARED}/targets/mix-13m", f"data={source}",
            "drafter.width=192", "drafter.vocabulary=2048", "k=4", f"dtype={dtype}",
            *CASES[source],
        ]  # fmt: skip
        config = compose("train", chosen)
        parts, options = training_parts(config), training_options(config)
        setup = set_up(parts, options, Path())
        data, module = setup.datamodule, setup.module
        assert module.target is not None
        self.target, self.drafter = module.target, module.drafter
        rows = data.source.training(data.materials())
        self.sets: dict[str, Any] = {
            name: TeacherCache(rows, teacher, self.target, (), data.cache, Distributed())
            if teacher.cached
            else rows
            for name, teacher in TEACHERS.items()
        }
        self.drafter.prepare(lambda: rows.counts_V(self.target.spec.vocabulary))
        self.objective = parts.objective
        self.optimizer = parts.optimizer(self.drafter.parameters())
        self.batches = TrainingBatches(rows.lengths_B, options.loader.batch_size, 0).order()
        self.k = options.k

    def step(self, name: str, rows: list[int]) -> dict[str, float]:
        """Seconds of each part of one step."""
        teacher, clock = TEACHERS[name], [time.perf_counter()]
        items: list[Row] = [self.sets[name][row] for row in rows]
        batch = collate(items)
        clock.append(time.perf_counter())
        output = teacher.output(self.target, batch, ())
        clock.append(time.perf_counter())
        assert output is not None
        trained_BS = batch.trained_BT[:, 1:]
        training_batch = TrainingBatch(batch.tokens_BT, trained_BS, output.hidden_BPD, None, self.k)
        sums = self.objective.sums(
            self.drafter.states(training_batch), self.drafter,
            teacher.logits(self.target, batch, output), batch.tokens_BT[:, 1:], trained_BS,
            vocabulary_U=self.drafter.vocabulary_U,
        )  # fmt: skip
        sums.loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        clock.append(time.perf_counter())
        load, body, rest = (b - a for a, b in itertools.pairwise(clock))
        return {"load": load, "body": body, "rest": rest, "step": clock[-1] - clock[0]}


def measured(case: Case, steps: int) -> dict[str, Any]:
    """Medians in milliseconds, quartiles of the whole step, and the ratios asked for."""
    seconds: dict[str, dict[str, list[float]]] = {name: defaultdict(list) for name in TEACHERS}
    for number, rows in enumerate(case.batches[: steps + 2]):
        names = list(TEACHERS) if number % 2 else list(TEACHERS)[::-1]
        for name in names:
            found = case.step(name, rows)
            for part, taken in found.items():
                if number >= 2:  # the first ones warm up
                    seconds[name][part].append(1e3 * taken)
    told: dict[str, Any] = {}
    for name, parts in seconds.items():
        told[name] = {part: median(taken) for part, taken in parts.items()}
        quarter = len(parts["step"]) // 4
        ordered = sorted(parts["step"])
        told[name]["quartiles"] = [ordered[quarter], ordered[-1 - quarter]]
        told[name]["loading_share"] = sum(parts["load"]) / sum(parts["step"])
    online = told["online"]
    for name in ("hidden", "hidden int8"):
        # Loading brings the hidden states as well: what it takes longer for that counts as body.
        cost = told[name]["body"] + told[name]["load"] - online["load"]
        told[name]["body_removed"] = 1 - max(cost, 0.0) / online["body"]
        told[name]["speedup"] = online["step"] / told[name]["step"]
    told["ceiling"] = online["step"] / (online["step"] - online["body"])
    return told


def writing(case: Case, rows: int = 128) -> dict[str, float]:
    """Tokens a second when the target writes responses, greedy and sampled, 32 rows at a time."""
    target = LlamaTarget.open(SHARED / "targets" / "mix-13m", None, fused=True)
    prompts = case.sets["online"].prompts()[:rows]
    told = {}
    for name, temperature in (("greedy", 0.0), ("temperature 1", 1.0)):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            text = Writer(target, Path(folder), 0).write(prompts, 128, Sampling(temperature))
            seconds = time.perf_counter() - began
        told[name] = (text.token_count() - sum(map(len, prompts))) / seconds
    return told


def sizes() -> dict[str, dict[str, float]]:
    """Bytes a position for targets of other sizes, in bfloat16."""
    teachers: dict[str, Teacher] = {
        "hidden, bfloat16": Hidden(),
        "hidden, int8": Hidden("int8"),
        "topk 64": TopK(64),
    }
    return {
        size: {
            name: teacher.bytes_per_token(
                TargetSpec(size, vocabulary, width, 1, 1, 1, (2,)), torch.bfloat16, 0
            )
            for name, teacher in teachers.items()
        }
        for size, (width, vocabulary) in SIZES.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--out", default="benchmarks/results/teacher.json")
    arguments = parser.parse_args()
    register()
    told: dict[str, Any] = {"sizes": sizes()}
    with initialize_config_dir(str(Path("conf").absolute()), version_base="1.3"):
        for source in CASES:
            case = Case(source, arguments.dtype)
            told[source] = measured(case, arguments.steps)
            if source == "wmt14":
                told["writing, tokens per second"] = writing(case)
            print(source, json.dumps(told[source], indent=1), flush=True)
    with replacing(Path(arguments.out)) as path:
        told |= vars(provenance(torch.device("cpu")))
        path.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
