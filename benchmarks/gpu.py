"""Decoding on a GPU: random weights of real shapes, and a drafter whose acceptance is dialled in.

    python benchmarks/gpu.py --out gpu.json                 1B and 8B shapes, bfloat16
    python benchmarks/gpu.py --shapes tiny --device cpu     the same program, to try it out

Needs nothing beside torch and this package: neither hydra nor lightning. Reported are medians of
plain steps and of rounds of k drafts, both compiled and captured as CUDA graphs where there is a
GPU; the floor of a step, weight bytes over measured copy bandwidth; host synchronizations a round;
and speedup over acceptance.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.compiled import Compiled
from litdraft.decoding.speculate import Speculate
from litdraft.networks.llama import Llama, LlamaConfig
from litdraft.protocols import Context, Drafter, Observation, Proposal
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget

SHAPES = {
    "tiny": LlamaConfig(512, 64, 2, 4, 2, 16, 160, 512),
    # Llama 3.2 1B and Llama 3.1 8B (config.json of their releases), with a context of 2,048.
    "1b": LlamaConfig(128_256, 2048, 16, 32, 8, 64, 8192, 2048, rope_theta=5e5),
    "8b": LlamaConfig(128_256, 4096, 32, 32, 8, 128, 14_336, 2048, rope_theta=5e5, tied=False),
}


class Dialled(Drafter):
    """An LSTM-sized draft whose tokens are right with a given chance.

    It computes what a drafter with a reduced vocabulary computes (a recurrent product and an
    unembedding a step) and then says what the target will say, or something else: `truth_T` is
    the text that the target was seen to write.
    """

    def __init__(self, width: int, vocabulary: int, chance: float) -> None:
        super().__init__()
        self.recurrent = torch.nn.Linear(width, width, bias=False)
        self.head = torch.nn.Linear(width, vocabulary, bias=False)
        self.chance = chance
        self.truth_T: Tensor | None = None

    def allocate(self, rows: int, capacity: int, k: int) -> Tensor:
        return self.head.weight.new_zeros(rows, self.head.in_features)

    def propose(
        self, state: Tensor, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        tokens, hidden_BD = [], state
        for j in range(k):
            hidden_BD = self.recurrent(hidden_BD).tanh()
            drafted_B = self.head(hidden_BD).argmax(-1)
            assert self.truth_T is not None
            place_B = (context.length_B + j).clamp_max(len(self.truth_T) - 1)
            # A fixed pattern over places instead of randomness: the same in every run.
            right_B = (place_B * 2_654_435_761 % 65_536) < self.chance * 65_536
            tokens.append(torch.where(right_B, self.truth_T[place_B], (drafted_B + 1) % 97))
        return Proposal(torch.stack(tokens, 1))

    def observe(self, state: Tensor, seen: Observation, context: Context) -> None:
        return None


@dataclass
class Clock:
    """Medians of calls on a device, in seconds."""

    device: torch.device

    def median(self, act: Callable[[], Any], times: int = 30) -> float:
        found = []
        for turn in range(times + 5):
            self.wait()
            started = time.perf_counter()
            act()
            self.wait()
            if turn >= 5:
                found.append(time.perf_counter() - started)
        return statistics.median(found)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def target_of(shape: str, dtype: torch.dtype, device: torch.device) -> LlamaTarget:
    with torch.device("meta"):
        model = Llama(SHAPES[shape])
    model = model.to(dtype).to_empty(device=device)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() > 1:
                weight.normal_(std=0.02)
            else:
                weight.fill_(1.0)
    model.reset_buffers()
    return LlamaTarget(model, shape)


def copy_bandwidth(clock: Clock) -> float:
    """Bytes read and written a second by a large copy."""
    size = 1 << 30 if clock.device.type == "cuda" else 1 << 26
    source = torch.ones(size, dtype=torch.uint8, device=clock.device)
    target = torch.empty_like(source)
    return 2 * size / clock.median(lambda: target.copy_(source))


def synchronizations(act: Callable[[], Any], device: torch.device) -> int:
    """How often the host waited for the device during a call."""
    if device.type != "cuda":
        return 0
    import warnings

    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        act()
    torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in told)


@torch.inference_mode()
def measured(
    target: LlamaTarget, k: int, vocabulary: int, chances: Sequence[float], context: int,
    tokens: int,
) -> dict[str, Any]:  # fmt: skip
    """A step, a round, their floor, and whole texts at every chance of acceptance."""
    device, greedy = target.device, Sampling()
    clock = Clock(device)
    compiled = device.type == "cuda"
    prompt = [1, *(3 + 7 * i % 400 for i in range(context - 1))]
    plain = Autoregress(target, greedy, compiled=compiled)
    told = plain.generate([prompt], tokens)
    truth_T = torch.tensor([*prompt, *told.tokens[0], *[0] * (2 * k)], device=device)
    plain_seconds = min(plain.generate([prompt], tokens).decode_seconds for _ in range(3))

    drafter = Dialled(1024, vocabulary, 0.7).to(device, target.dtype)
    drafter.truth_T = truth_T
    loop = Speculate(target, drafter, k, greedy, compiled=compiled)
    run = loop.begin([prompt], tokens)
    loop.prefill(run)
    run.cache.limit_slots(context + tokens)
    kept = [t.clone() for t in (run.context.length_B, run.context.known_B, run.cache.length_B)]

    def round_again() -> None:
        for tensor, value in zip(
            (run.context.length_B, run.context.known_B, run.cache.length_B), kept, strict=True
        ):
            tensor.copy_(value)
        loop.run_round(run)

    token_B1 = torch.ones(1, 1, dtype=torch.long, device=device)

    def step() -> Tensor:
        return target.argmax(target.forward(token_B1, run.cache).hidden_BPD)

    step_seconds = clock.median(Compiled(step, device) if compiled else step)
    round_seconds = clock.median(round_again)
    weights = sum(w.numel() * w.element_size() for w in target.model.parameters())
    floor = weights / copy_bandwidth(clock)
    curve = []
    for chance in chances:
        drafter.chance = chance
        best = min(
            (loop.generate([prompt], tokens) for _ in range(3)), key=lambda one: one.decode_seconds
        )
        accepted = best.accepted[0]
        curve.append(
            {
                "chance": chance,
                "mean_acceptance_length": 1 + sum(accepted) / len(accepted),
                "speedup": plain_seconds / best.decode_seconds,
                "same_text": best.tokens == told.tokens,
            }
        )
    return {
        "k": k,
        "vocabulary": vocabulary,
        "context": context,
        "weight_bytes": weights,
        "floor_seconds": floor,
        "step_seconds": step_seconds,
        "round_seconds": round_seconds,
        "step_over_floor": step_seconds / floor,
        "round_over_floor": round_seconds / floor,
        "synchronizations_a_round": synchronizations(round_again, device),
        "plain_tokens_per_second": (tokens - 1) / plain_seconds,
        "curve": curve,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shapes", nargs="*", choices=list(SHAPES), default=["1b", "8b"])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--k", type=int, default=4)
    parser.add_argument("--vocabulary", type=int, default=16_384)
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--out", default="gpu.json")
    arguments = parser.parse_args()
    device = torch.device(arguments.device)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
    told: dict[str, Any] = {"device": name, "torch": torch.__version__, "dtype": str(dtype)}
    for shape in arguments.shapes:
        target = target_of(shape, dtype, device)
        chances = (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 1.0)
        told[shape] = measured(
            target, arguments.k, arguments.vocabulary, chances, arguments.context, arguments.tokens
        )
        print(shape, json.dumps(told[shape], indent=1), flush=True)
        del target
        Path(arguments.out).write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
