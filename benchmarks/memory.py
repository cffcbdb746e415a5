"""What decoding holds in memory: resident size minus imports, at the shape of a 1B Llama.

    python benchmarks/memory.py --out benchmarks/results/memory.json

The target has random weights in bfloat16; the drafter is an LSTM head with a reduced vocabulary.
The peak is sampled every few milliseconds, while loading and while decoding.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from gpu import SHAPES, target_of

from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lstm import LSTM
from litdraft.io import write_json
from litdraft.native.build import available
from litdraft.reports.provenance import provenance
from litdraft.sampling import Sampling

PAGE = 4096


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * PAGE


@contextmanager
def peak() -> Iterator[list[int]]:
    """The largest resident size while something runs, as the one entry of a list."""
    found, stop = [resident()], threading.Event()

    def watch() -> None:
        while not stop.wait(0.003):
            found[0] = max(found[0], resident())

    thread = threading.Thread(target=watch)
    thread.start()
    yield found
    stop.set()
    thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shape", choices=list(SHAPES), default="1b")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--tokens", type=int, default=24)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=16_384)
    parser.add_argument("--out", default="benchmarks/results/memory.json")
    arguments = parser.parse_args()
    available()
    torch.zeros(1) @ torch.zeros(1)  # what torch itself sets up on first use
    before = resident()
    with peak() as loading:
        target = target_of(arguments.shape, torch.bfloat16, torch.device("cpu"))
        target.fuse()
    loaded = resident()
    drafter = LSTM(target.spec, width=256, vocabulary=arguments.vocabulary)
    drafter.bind(target)
    drafter.prepare_for_decoding(torch.bfloat16, native=True)
    drafted = resident()
    prompt = [1 + 7 * i % 1000 for i in range(arguments.context)]
    loop = Speculate(target, drafter, arguments.k, Sampling())
    with peak() as decoding:
        started = time.perf_counter()
        generation = loop.generate([prompt], arguments.tokens)
        seconds = time.perf_counter() - started
    weights = target.model.weights.numel() * 2
    if target.model.head is not target.model.weights:
        weights += target.model.head.numel() * 2
    cache: Any = target.allocate(1, arguments.context + arguments.tokens + arguments.k + 1)
    slots = sum(t.numel() * t.element_size() for t in (cache.keys_LBHn, cache.values_LBHn))
    needed = weights + slots + (drafted - loaded)
    told = {
        "shape": arguments.shape,
        "bytes": {
            "weights": weights,
            "cache": slots,
            "drafter": drafted - loaded,
            "peak_loading": loading[0] - before,
            "peak_decoding": decoding[0] - before,
        },
        "peak_decoding_over_needed": (decoding[0] - before) / needed,
        "peak_loading_over_weights": (loading[0] - before) / weights,
        "seconds": seconds,
        "prefill_seconds": generation.prefill_seconds,
        "decode_seconds": generation.decode_seconds,
        "rounds": len(generation.accepted[0]),
        **vars(provenance(torch.device("cpu"))),
    }
    write_json(Path(arguments.out), told)
    print(json.dumps(told, indent=2))


if __name__ == "__main__":
    main()
