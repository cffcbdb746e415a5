"""Compiled rounds against eager ones, to the token: every family, k, batch, temperature; float64.

    python benchmarks/lossless.py            # about an hour on two cores; goes on where it stopped

The test suite compiles one case a family; this is all of them. What is done is in
benchmarks/results/lossless.json; delete it to start again.
"""

from __future__ import annotations

import itertools
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.io import replacing
from litdraft.protocols import Drafter
from litdraft.sampling import Sampling

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tests.fakes import FAMILIES, random_target

RESULTS = Path("benchmarks/results/lossless.json")
PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2]]
TOKENS = 30


def agrees(family: Callable[[Any], Drafter], k: int, batch: int, temperature: float) -> bool:
    """Whether compiled rounds said and accepted what eager ones did; greedy, what plain decoding
    says as well."""
    target, sampling = random_target(eos=(11,)), Sampling(temperature)
    drafter = family(target)
    drafter.eval().bind(target)
    told = []
    for compiled in (False, True):
        drafter.reset()
        loop = Speculate(target, drafter, k, sampling, seed=3, compiled=compiled)
        parts = [
            loop.generate(PROMPTS[at : at + batch], TOKENS, range(at, at + batch))
            for at in range(0, len(PROMPTS), batch)
        ]
        told.append([(part.tokens, part.accepted) for part in parts])
    if told[0] != told[1]:
        return False
    plain = Autoregress(target, sampling, seed=3).generate(PROMPTS, TOKENS).tokens
    return temperature > 0 or [text for tokens, _ in told[0] for text in tokens] == plain


def main() -> None:
    done: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    cases = list(itertools.product(FAMILIES, (1, 3, 5), (1, 3), (0.0, 1.0)))
    for number, (family, k, batch, temperature) in enumerate(cases, start=1):
        name = f"{family.__name__} k={k} batch={batch} temperature={temperature:g}"
        if name in done:
            continue
        torch._dynamo.reset()
        torch.manual_seed(0)
        started = time.perf_counter()
        agreed = agrees(family, k, batch, temperature)
        done[name] = {"agrees": agreed, "seconds": round(time.perf_counter() - started, 1)}
        print(f"{number}/{len(cases)} {name}: {'equal' if agreed else 'DIFFERS'}", flush=True)
        with replacing(RESULTS) as path:
            path.write_text(json.dumps(done, indent=1) + "\n", encoding="utf-8")
    wrong = [name for name, found in done.items() if not found["agrees"]]
    print(f"{len(done) - len(wrong)} of {len(done)} cases equal" + "".join(f"\n{n}" for n in wrong))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
