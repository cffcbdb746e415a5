"""What a round costs behind transformers' models: a whole round of LitDraft's loop (lookup drafts,
k = 3) against the model's own forward pass over the same four tokens with its own cache.

    python benchmarks/hf_round.py            # a minute on two cores

Greedy, float32, 128 tokens and more in both caches; both take turns, so that what
else the machine does hits both. Ratios of a turn, their median and quartiles.
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, DynamicCache

from litdraft.checkpoints.hf_causal_check import checked_model
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.sampling import Sampling
from litdraft.targets.hf_causal import HFCausalTarget

RESULTS = Path("benchmarks/results/hf_round.json")
SHARED = Path(os.environ.get("LITDRAFT_SHARED") or "../shared")
SIZES = {
    "vocab_size": 8192, "hidden_size": 320, "intermediate_size": 1280, "num_hidden_layers": 8,
    "num_attention_heads": 5, "num_key_value_heads": 5, "max_position_embeddings": 512,
    "head_dim": 64, "pad_token_id": 0,
}  # fmt: skip
KINDS = ("llama", "gpt2", "qwen3", "gemma2", "gpt_neox")
PREFIX, K, TURNS = 128, 3, 60


def model_of(kind: str) -> Any:
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES)
    return AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval()


def turns(model: Any, batch: int) -> tuple[list[float], list[float]]:
    """Seconds of rounds, and of forward passes of the model alone."""
    target = HFCausalTarget(checked_model(model, 512, "random"), "random")
    model.set_attn_implementation("litdraft" if model._supports_attention_backend else "eager")
    prompts = torch.randint(3, 8192, (batch, PREFIX), generator=torch.Generator().manual_seed(1))
    drafter = Lookup()
    drafter.bind(target)
    loop = Speculate(target, drafter, K, Sampling())
    own = alone(model, prompts)
    rounds: list[float] = []
    passes: list[float] = []
    begun = loop.run_round

    def timed(run: Any) -> Any:
        started = time.perf_counter()
        verdict = begun(run)
        rounds.append(time.perf_counter() - started)
        passes.append(own(int(run.cache.length_B.max())))
        return verdict

    loop.run_round = timed  # type: ignore[assignment]
    loop.generate(prompts.tolist(), TURNS)
    return rounds[5:], passes[5:]


def alone(model: Any, prompts: torch.Tensor) -> Callable[[int], float]:
    """Seconds of one pass over K + 1 tokens behind what its cache holds; afterwards that is as long
    as it is told to be."""
    cache = DynamicCache(config=model.config)
    with torch.inference_mode():
        model(prompts, past_key_values=cache)
    tokens_BP = prompts[:, : K + 1]

    def once(length: int) -> float:
        with torch.inference_mode():
            started = time.perf_counter()
            model(tokens_BP, past_key_values=cache).logits.argmax(-1)
            seconds = time.perf_counter() - started
            cache.crop(length - cache.get_seq_length())
        return seconds

    return once


def main() -> None:
    print("| model | rows | round, ms | forward, ms | round / forward (quartiles) |")
    print("|" + " --- |" * 5)
    told = []
    for kind in KINDS:
        for batch in (1, 4):
            rounds, passes = turns(model_of(kind), batch)
            ratios = [a / b for a, b in zip(rounds, passes, strict=True)]
            low, middle, high = statistics.quantiles(ratios, n=4)
            ms = [1e3 * statistics.median(seconds) for seconds in (rounds, passes)]
            told.append({"kind": kind, "rows": batch, "ms": ms, "ratio": [low, middle, high]})
            print(
                f"| {kind} | {batch} | {ms[0]:.2f} | {ms[1]:.2f} "
                f"| {middle:.2f} [{low:.2f}, {high:.2f}] |",
                flush=True,
            )
    RESULTS.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
