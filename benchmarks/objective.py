"""What the loss over k future tokens costs: chunks that compute their own gradients, against the
same loss written out at once. One shared head, trained, float32, KL from a given teacher.

    python benchmarks/objective.py            # some minutes on two cores; the largest needs 8 GB

Every case is a process of its own. Memory is what the process grew by beyond its inputs, the
head's weights included among these; both grow by the head's gradient.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from memory import resident
from torch import Tensor, nn

from litdraft.losses.objective import Objective
from litdraft.sampling import log_softmax

RESULTS = Path("benchmarks/results/objective.json")
GIB = 2**30
# vocabulary, positions, k, width; the last is the one that memory was promised for.
CASES = ((32_000, 512, 4, 1024), (128_256, 512, 4, 2048), (128_256, 2048, 4, 2048))
NAIVE_UP_TO = 512  # positions; more logits than that do not fit this machine


class Head(nn.Module):
    """One matrix for all draft positions."""

    def __init__(self, vocabulary: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(vocabulary, width) * width**-0.5)

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        return states_nC @ self.weight.T

    def unembedding_weight(self, j: int) -> Tensor | None:
        return self.weight


def chunked(head: Head, states_nKC: Tensor, frozen_VD: Tensor, hidden_nD: Tensor) -> Tensor:
    labels_BS = torch.zeros(1, len(states_nKC), dtype=torch.long)
    return (
        Objective(kl=1.0)
        .sums(
            states_nKC[None], head, lambda rows: hidden_nD[rows] @ frozen_VD.T, labels_BS,
            torch.ones_like(labels_BS, dtype=torch.bool),
        )
        .loss
    )  # fmt: skip


def naive(head: Head, states_nKC: Tensor, frozen_VD: Tensor, hidden_nD: Tensor) -> Tensor:
    student_nKV = log_softmax(states_nKC @ head.weight.T)
    with torch.no_grad():
        taught_n1V = log_softmax(hidden_nD @ frozen_VD.T)[:, None]
    loss_nK = (taught_n1V.exp() * (taught_n1V - student_nKV)).sum(-1)
    n, k = loss_nK.shape
    real_nK = torch.arange(n)[:, None] > torch.arange(k)
    return ((loss_nK * real_nK).sum(0) / real_nK.sum(0)).mean()


def case(way: str, vocabulary: int, positions: int, k: int, width: int) -> dict[str, float]:
    torch.manual_seed(0)
    head, hidden_nD = Head(vocabulary, width), torch.randn(positions, width)
    frozen_VD = head.weight.detach()  # the teacher's head costs no more memory here
    states_nKC = torch.randn(positions, k, width, requires_grad=True)
    before = resident()
    started = time.perf_counter()
    loss = {"chunked": chunked, "naive": naive}[way](head, states_nKC, frozen_VD, hidden_nD)
    loss.backward()
    assert states_nKC.grad is not None
    assert head.weight.grad is not None
    return {
        "seconds": time.perf_counter() - started,
        "gib": (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before) / GIB,
        "loss": loss.item(),
        "slope": float(head.weight.grad.norm()),
    }


def measured(way: str, sizes: tuple[int, ...]) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--case", way, *map(str, sizes)],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    told: dict[str, float] = json.loads(done.stdout)
    return told


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--case", nargs=5, help=argparse.SUPPRESS)
    asked = parser.parse_args().case
    if asked:
        print(json.dumps(case(asked[0], *map(int, asked[1:]))))
        return
    told: list[dict[str, Any]] = []
    print("| vocabulary | positions | k | width | way | seconds | GiB beyond inputs |")
    print("|" + " --- |" * 7)
    for sizes in CASES:
        for way in ("chunked", *(["naive"] if sizes[1] <= NAIVE_UP_TO else [])):
            found = measured(way, sizes)
            told.append({"sizes": sizes, "way": way, **found})
            cells = [*map(str, sizes), way, f"{found['seconds']:.1f}", f"{found['gib']:.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)
    RESULTS.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
