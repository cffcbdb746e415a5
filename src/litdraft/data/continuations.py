"""Text that the target writes itself, kept on disk in parts so that no token is written twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from rich.progress import track

from litdraft.data.rows import Rows
from litdraft.decoding.autoregress import Autoregress
from litdraft.protocols import Target
from litdraft.sampling import Sampling

PART = 128  # rows a file; an interruption loses at most these


class Writer:
    """Lets the target continue prompts, or remembers how it did.

    The key of a text is everything it depends on: the target (by what it answers, not by where it
    lies), the prompts, the sampling, the seed and the limit.
    """

    def __init__(self, target: Target, folder: Path, seed: int, batch: int = 32) -> None:
        self.target, self.folder = target, folder
        self.seed, self.batch = seed, batch

    def continued(
        self,
        prompts: Sequence[Sequence[int]],
        max_new_tokens: int,
        sampling: Sampling,
        first_row: int = 0,
    ) -> Rows:
        """Each prompt and what the target writes behind it, its end token included."""
        key = self._key(prompts, max_new_tokens, sampling, first_row)
        parts = []
        starts = range(0, len(prompts), PART)
        for start in track(starts, "target writes", disable=len(starts) < 2, transient=True):
            path = self.folder / key / f"{start:08d}.safetensors"
            part = Rows.load(path)
            if part is None:
                some = prompts[start : start + PART]
                part = self._write(some, max_new_tokens, sampling, first_row + start)
                part.save(path)
            parts.append(part)
        return Rows.joined(parts)

    def _write(
        self, prompts: Sequence[Sequence[int]], limit: int, sampling: Sampling, first_row: int
    ) -> Rows:
        decoder = Autoregress(self.target, sampling, self.seed)
        rows: list[list[int]] = []
        for start in range(0, len(prompts), self.batch):
            some = prompts[start : start + self.batch]
            ids = range(first_row + start, first_row + start + len(some))
            written = decoder.generate(some, limit, ids).tokens
            rows += [[*prompt, *text] for prompt, text in zip(some, written, strict=True)]
        return Rows.of(rows, [len(prompt) for prompt in prompts])

    def _key(
        self, prompts: Sequence[Sequence[int]], limit: int, sampling: Sampling, first_row: int
    ) -> str:
        facts = {
            "target": asdict(self.target.spec),
            "answers": answers(self.target),
            "dtype": str(self.target.dtype),
            "prompts": [list(prompt) for prompt in prompts],
            "sampling": asdict(sampling),
            "numbers": [self.seed, limit, first_row],
        }
        return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]


@torch.no_grad()
def answers(target: Target, positions: int = 32, best: int = 4) -> list[int]:
    """A target's fingerprint: its likeliest tokens after a fixed row of tokens."""
    positions = min(positions, target.spec.context)
    step = max(target.spec.vocabulary // positions, 1)
    tokens_BP = torch.arange(positions, device=target.device)[None] * step
    hidden_PD = target.read(tokens_BP % target.spec.vocabulary).hidden_BPD[0]
    logits_PV = target.unembed(hidden_PD)
    top: list[int] = logits_PV.topk(min(best, target.spec.vocabulary)).indices.flatten().tolist()
    return top
