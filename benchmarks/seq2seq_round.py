"""What a round costs behind a T5: a whole round of LitDraft's loop against its bare parts, the
drafter's k steps and the decoder's pass over k + 1 tokens with its unembedding.

    python benchmarks/seq2seq_round.py            # a minute on two cores

Random weights, greedy, float32; sources of 256 tokens. Both take turns on the same state, so that
what else the machine does hits both. Ratios of a turn, their median and quartiles.
"""

from __future__ import annotations

import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch

from litdraft.decoding.speculate import Speculate
from litdraft.decoding.state import LoopState
from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.networks.t5 import T5
from litdraft.networks.t5_blocks import T5Config
from litdraft.protocols import Drafter, TargetSpec
from litdraft.reports.provenance import provenance
from litdraft.sampling import Sampling
from litdraft.targets.seq2seq import Seq2SeqTarget

RESULTS = Path("benchmarks/results/seq2seq_round.json")
GATED: dict[str, Any] = {"gated": True, "activation": "gelu_new", "scaled": False}
KINDS = {
    "small_t5": T5Config(4096, 192, 6, 6, 6, 32, 512, start=1, **GATED),
    "t5-small": T5Config(32128, 512, 6, 6, 8, 64, 2048, start=0),
    "flan-t5-small": T5Config(32128, 512, 8, 8, 6, 64, 1024, start=0, tied=False, **GATED),
}
SOURCE, K, TURNS = 256, 3, 60


def lstm(spec: TargetSpec) -> Drafter:
    return LSTM(spec, vocabulary="auto")


def target_of(kind: str) -> Seq2SeqTarget:
    torch.manual_seed(0)
    model = T5(KINDS[kind])
    model.reset_parameters()
    return Seq2SeqTarget(model, kind)


def turns(target: Seq2SeqTarget, drafter: Drafter, batch: int) -> tuple[list[float], list[float]]:
    """Seconds of rounds, and of their bare parts."""
    sizes = (batch, SOURCE)
    sources = torch.randint(3, 4096, sizes, generator=torch.Generator().manual_seed(1)).tolist()
    drafter.bind(target)
    loop = Speculate(target, drafter, K, Sampling())
    rounds: list[float] = []
    parts: list[float] = []
    begun = loop.run_round

    def bare(run: LoopState) -> None:
        context = run.context
        drawn_BK = loop.draw_uniforms(context, K)
        proposal = drafter.propose(run.drafter, context, K, loop.sampling, drawn_BK)
        tokens_BP = torch.cat((context.unread_B1(), proposal.tokens_BN), 1)
        target.argmax(target.forward(tokens_BP, run.cache).hidden_BPD)

    def timed(run: LoopState) -> Any:
        started = time.perf_counter()
        bare(run)
        parts.append(time.perf_counter() - started)
        started = time.perf_counter()
        verdict = begun(run)
        rounds.append(time.perf_counter() - started)
        return verdict

    loop.run_round = timed  # type: ignore[assignment]
    start = target.model.config.start
    loop.generate([[*source, start] for source in sources], TURNS)
    return rounds[5:], parts[5:]


def main() -> None:
    print("| model | drafter | rows | round, ms | bare parts, ms | round / parts (quartiles) |")
    print("|" + " --- |" * 6)
    told = []
    for kind in KINDS:
        target = target_of(kind)
        for name, family in {"lstm": lstm, "lookup": Lookup}.items():
            for batch in (1, 4):
                rounds, parts = turns(target, family(target.spec), batch)
                ratios = [a / b for a, b in zip(rounds, parts, strict=True)]
                low, middle, high = statistics.quantiles(ratios, n=4)
                ms = [1e3 * statistics.median(seconds) for seconds in (rounds, parts)]
                told.append(
                    {"kind": kind, "drafter": name, "rows": batch, "ms": ms,
                     "ratio": [low, middle, high]}
                )  # fmt: skip
                print(
                    f"| {kind} | {name} | {batch} | {ms[0]:.2f} | {ms[1]:.2f} "
                    f"| {middle:.2f} [{low:.2f}, {high:.2f}] |",
                    flush=True,
                )
    result = {"rows": told, **vars(provenance(torch.device("cpu")))}
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
