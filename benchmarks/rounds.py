"""Where a round's time goes, and how it grows with context, k and batch.

    python benchmarks/rounds.py --run outputs/mix --text stories.txt

Every figure is a median over rounds at a fixed context: after each one all lengths are set back.
The floor is what a round must move (the target's weights, its keys and values, the drafter's
weights) over the bandwidth that reading as many bytes reached in the same run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as both entry points do

import torch
from drawing import draw_growth, draw_profile
from torch import Tensor

from litdraft.decoding import speculate
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.result import Decoder
from litdraft.decoding.speculate import Speculate
from litdraft.decoding.state import LoopState
from litdraft.io import write_json
from litdraft.protocols import Drafter
from litdraft.reports.provenance import provenance
from litdraft.runs.open import open_run
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

CONTEXT, CONTEXTS = 160, (64, 128, 256, 384, 500)  # tokens
LENGTHS, BATCHES = (1, 2, 3, 4, 6, 8, 12, 16), (1, 2, 4, 8, 16)  # k, and rows
OPENING = 48  # tokens of a prompt


def seconds(
    act: Callable[[], Any], times: int = 60, before: Callable[[], None] | None = None
) -> float:
    """Median of some calls, `before` each of which something may be set back."""
    found = []
    for turn in range(times + 5):
        if before:
            before()
        started = time.perf_counter()
        act()
        if turn >= 5:
            found.append(time.perf_counter() - started)
    return statistics.median(found)


class Held:
    """A loop that stays where it is: rows of `context` tokens, any number of rounds."""

    def __init__(
        self, target: LlamaTarget, drafter: Drafter, k: int, context: int, batch: int,
        sampling: Sampling,
    ) -> None:  # fmt: skip
        self.loop = Speculate(target, drafter, k, sampling)
        prompts = torch.randint(3, target.spec.vocabulary, (batch, context - k - 2)).tolist()
        self.run: LoopState = self.loop.begin(prompts, k + 1)
        self.loop.prefill(self.run)
        self.kept = [tensor.clone() for tensor in self._state()]
        self.run.context.limit_B += 10_000

    def _state(self) -> list[Tensor]:
        context = self.run.context
        return [context.length_B, context.known_B, context.done_B, self.run.cache.length_B]

    def back(self) -> None:
        for tensor, kept in zip(self._state(), self.kept, strict=True):
            tensor.copy_(kept)

    def round(self) -> None:
        self.loop.round(self.run)

    def parts(self) -> dict[str, Callable[[], Any]]:
        """The bare parts: the drafter over k steps, the target over k + 1 tokens."""
        context, k, target = self.run.context, self.loop.k, self.loop.target
        drawn_Bn = self.loop.draw_uniforms(context, 2 * k + 1)
        tokens_BP = torch.randint(3, 100, (len(context.length_B), k + 1))

        def propose() -> Any:
            drafter, sampling = self.loop.drafter, self.loop.sampling
            return drafter.propose(self.run.drafter, context, k, sampling, drawn_Bn[:, :k])

        def verify() -> Any:
            return self.loop.target_probs(target.forward(tokens_BP, self.run.cache).hidden_BPD)

        return {"drafter": propose, "target": verify}


def round_and_parts(held: Held, times: int = 80) -> dict[str, float]:
    """Medians of a round and of its bare parts, one after the other in turn."""
    acts = {"round": held.round, **held.parts()}
    found: dict[str, list[float]] = {name: [] for name in acts}
    for turn in range(times + 5):
        for name, act in acts.items():
            held.back()
            started = time.perf_counter()
            act()
            if turn >= 5:
                found[name].append(time.perf_counter() - started)
    return {name: statistics.median(some) for name, some in found.items()}


@contextmanager
def timed(place: Any, name: str, log: dict[str, list[float]], label: str) -> Iterator[None]:
    """Write down how long every call of place.name takes."""
    act, own = getattr(place, name), name in vars(place)

    def call(*arguments: Any, **named: Any) -> Any:
        started = time.perf_counter()
        told = act(*arguments, **named)
        log.setdefault(label, []).append(time.perf_counter() - started)
        return told

    setattr(place, name, call)
    yield
    if own:
        setattr(place, name, act)
    else:
        delattr(place, name)


def profile(target: LlamaTarget, drafter: Drafter, k: int, sampling: Sampling) -> dict[str, float]:
    """Medians of each act inside a whole round, as it runs."""
    held = Held(target, drafter, k, CONTEXT, 1, sampling)
    log: dict[str, list[float]] = {}
    with (
        timed(drafter, "propose", log, "propose"),
        timed(target, "forward", log, "read"),
        timed(held.loop, "target_probs", log, "target_probs"),
        timed(speculate, "commit", log, "commit"),
        timed(drafter, "observe", log, "observe"),
    ):
        whole = seconds(held.round, 200, held.back)
    told = {name: statistics.median(some) for name, some in log.items()}
    return {**told, "rest": whole - sum(told.values())}


def bandwidth(count: int) -> float:
    """Bytes a second of reading so many."""
    some = torch.ones(count // 4)
    return 4 * len(some) / min(seconds(some.sum, 20) for _ in range(3))


def floor_bytes(target: LlamaTarget, drafter: Drafter, held: Held, context: int) -> int:
    """What a round must move at least."""
    weights = target.model.weights
    moved: int = weights.numel() * weights.element_size()
    if target.model.head is not weights:
        moved += target.model.head.numel() * weights.element_size()
    config = target.model.config
    slot = 2 * config.layers * config.kv_heads * config.head_width * weights.element_size()
    moved += len(held.run.context.limit_B) * context * slot
    own = sum(parameter.numel() for parameter in drafter.parameters())
    return int(moved + own * weights.element_size())


def throughput(
    target: LlamaTarget, drafter: Drafter, prompts: list[list[int]], tokens: int, turns: int
) -> list[dict[str, Any]]:
    """Tokens a second of whole texts by batch, plain and with several k in turn; the best k."""
    rows = []
    for batch in BATCHES:
        batches = [prompts[at : at + batch] for at in range(0, len(prompts), batch)]
        encoder_decoder: dict[int, Decoder] = {0: Autoregress(target, Sampling())}
        encoder_decoder |= {k: Speculate(target, drafter, k, Sampling()) for k in (1, 2, 3, 5)}
        paces: dict[int, list[float]] = {k: [] for k in encoder_decoder}
        for turn in range(turns + 1):
            for k, side in encoder_decoder.items():
                told = [side.generate(some, tokens) for some in batches]
                written = sum(len(text) - 1 for one in told for text in one.tokens)
                if turn:
                    paces[k].append(written / sum(one.decode_seconds for one in told))
        medians = {k: statistics.median(some) for k, some in paces.items()}
        best = max((k for k in medians if k), key=lambda k: medians[k])
        rows.append(
            {
                "batch": batch,
                "plain": medians[0],
                "plain_spread": [min(paces[0]), max(paces[0])],
                "k": best,
                "drafted": medians[best],
                "drafted_spread": [min(paces[best]), max(paces[best])],
            }
        )
    return rows


def grown(
    target: LlamaTarget, drafter: Drafter, k: int, pace: float
) -> dict[str, list[dict[str, Any]]]:
    """Seconds of a round along context, k and batch, each beside its floor."""
    axes = {
        "context": [(k, context, 1) for context in CONTEXTS],
        "k": [(some, CONTEXT, 1) for some in LENGTHS],
        "batch": [(k, CONTEXT, batch) for batch in BATCHES],
    }
    told: dict[str, list[dict[str, Any]]] = {}
    for axis, points in axes.items():
        told[axis] = []
        for some_k, context, batch in points:
            held = Held(target, drafter, some_k, context, batch, Sampling())
            floor = floor_bytes(target, drafter, held, context) / pace
            place = {"context": context, "k": some_k, "batch": batch}[axis]
            told[axis].append({axis: place, "floor": floor, **round_and_parts(held)})
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", required=True)
    parser.add_argument("--text", required=True, help="a text file; its paragraphs are continued")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", default="benchmarks/results/rounds.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    opened = open_run(arguments.run)
    drafter, target = opened.drafter, opened.target
    assert isinstance(target, LlamaTarget)
    out, k = Path(arguments.out), arguments.k
    with torch.inference_mode():
        weights = target.model.weights
        pace = bandwidth(weights.numel() * weights.element_size())
        profiles = {
            name: profile(target, drafter, k, sampling)
            for name, sampling in (("greedy", Sampling()), ("temperature 1", Sampling(1.0)))
        }
        told: dict[str, Any] = {
            "settings": {**vars(arguments), "target": target.spec.name},
            "dtype": str(target.dtype).removeprefix("torch."),
            "bandwidth_bytes_per_second": pace,
            "profile": profiles,
            "growth": grown(target, drafter, k, pace),
        }
    text = Path(arguments.text).read_text(encoding="utf-8")
    paragraphs = [opened.tokenizer.encode(part.strip()) for part in text.split("\n\n")]
    prompts = [row[:OPENING] for row in paragraphs if len(row) >= OPENING][:16]
    told["throughput"] = throughput(target, drafter, prompts, arguments.tokens, arguments.turns)
    told.update(vars(provenance(torch.device("cpu"))))
    write_json(out, told)
    draw_profile(profiles, out.with_name(f"{out.stem}-profile.png"))
    draw_growth(told, out.with_name(f"{out.stem}-growth.png"))
    for axis, points in told["growth"].items():
        for p in points:
            parts = p["target"] + p["drafter"]
            print(
                f"{axis} {p[axis]}: round {1e3 * p['round']:.3f} ms, "
                f"{p['round'] / parts:.2f} of its bare parts "
                f"({1e3 * p['target']:.3f} + {1e3 * p['drafter']:.3f}), "
                f"{p['round'] / p['floor']:.2f} of its floor"
            )
    for r in told["throughput"]:
        print(f"batch {r['batch']}: {r['plain']:.0f} tokens/s, {r['drafted']:.0f} with k={r['k']}")


if __name__ == "__main__":
    main()
