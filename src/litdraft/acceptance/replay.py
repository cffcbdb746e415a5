"""Acceptance without decoding: exact expectations from teacher-forced passes.

On a text x that the target wrote, a draft for x_{s+1} is kept, given x, with probability
min(1, q(x_{s+1}) / p(x_{s+1})) exactly. The product along a chain is the survival given x, and a
forward recursion over where rounds begin gives expected rounds and accepted drafts. The average
of sum min(p, q) per position would be biased: text that survives is not average text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from litdraft.protocols import Drafter, Replayable, Target, TrainingBatch
from litdraft.sampling import Sampling

CHUNK = 256  # positions of a text unembedded at a time


class TextBatch(Protocol):
    """Right-padded texts; the first prompt_B tokens of each were given to the target."""

    @property
    def tokens_BT(self) -> Tensor: ...

    @property
    def length_B(self) -> Tensor: ...

    @property
    def prompt_B(self) -> Tensor: ...


@dataclass(frozen=True)
class Replay:
    """Expected counts: rounds, and per draft position how many reached it and were accepted."""

    rounds: Tensor
    reached_K: Tensor
    accepted_K: Tensor

    @classmethod
    def zero(cls, k: int) -> Replay:
        return cls.of_totals(torch.zeros(2 * k + 1, dtype=torch.float64))

    @classmethod
    def of_totals(cls, totals: Tensor) -> Replay:
        """From what `totals` gave, perhaps summed over processes."""
        reached_K, accepted_K = totals[1:].chunk(2)
        return cls(totals[0], reached_K, accepted_K)

    def totals(self) -> Tensor:
        return torch.cat((self.rounds[None], self.reached_K, self.accepted_K))

    def __add__(self, other: Replay) -> Replay:
        return Replay.of_totals(self.totals() + other.totals())

    @property
    def mean_acceptance_length(self) -> float:
        """Emitted tokens a round, the recovered or bonus token included."""
        return float(1 + self.accepted_K.sum() / self.rounds)

    @property
    def conditional_K(self) -> Tensor:
        return self.accepted_K / self.reached_K

    @property
    def survival_K(self) -> Tensor:
        return self.accepted_K / self.rounds


def replay(accept_BSK: Tensor, length_B: Tensor, prompt_B: Tensor, complete: bool) -> Replay:
    """Expected counts from accept_BSK[s, j], the chance that draft j of token s + 1 is kept.

    A round counts if all its drafts stand inside the text. `complete` says that the text ends
    where the last round ended: then every round counts, and what lies outside was never kept.
    """
    places, k = accept_BSK.shape[1:]
    place_S = torch.arange(places, device=accept_BSK.device)
    inside_BS = place_S < (length_B - 1)[:, None]
    accept_BSK = torch.where(inside_BS[..., None], accept_BSK, 0.0).double()
    # By the round's start t instead of the predicted place: draft j of t stands at t + 1 + j.
    chain_BSK = torch.zeros_like(accept_BSK)
    for j in range(min(k, places - 1)):
        chain_BSK[:, : places - 1 - j, j] = accept_BSK[:, 1 + j :, j]
    survival_BSN = torch.cat(
        (torch.ones_like(chain_BSK[..., :1]), chain_BSK.cumprod(-1)), -1
    )  # N = K + 1: at least n kept
    exactly_BSN = survival_BSN - torch.cat(
        (survival_BSN[..., 1:], torch.zeros_like(survival_BSN[..., :1])), -1
    )
    visits_BS = _visits(exactly_BSN, prompt_B - 1)
    last_B = length_B - 3 if complete else length_B - 2 - k
    counted_BS = torch.where(place_S <= last_B[:, None], visits_BS, 0.0)
    weighted_N = (counted_BS[..., None] * survival_BSN).sum((0, 1))
    return Replay(weighted_N[0], weighted_N[:-1].clone(), weighted_N[1:].clone())


def _visits(exactly_BSN: Tensor, first_B: Tensor) -> Tensor:
    """visits_BS: the chance that a round begins at each place; n kept drafts lead n + 1 on."""
    rows, places, span = exactly_BSN.shape
    visits = exactly_BSN.new_zeros(rows, places + span)
    visits.scatter_(1, first_B[:, None], 1.0)
    for place in range(places):
        visits[:, place + 1 : place + 1 + span] += visits[:, place, None] * exactly_BSN[:, place]
    return visits[:, :places]


@torch.no_grad()
def replay_batch(
    target: Target,
    drafter: Drafter,
    batch: TextBatch,
    k: int,
    sampling: Sampling,
    complete: bool = False,
) -> Replay:
    """Replay a batch of the target's own text, written under the same sampling."""
    tokens_BT = batch.tokens_BT
    output = target.forward(tokens_BT[:, :-1], taps=drafter.needs.taps, prompt_B=batch.prompt_B)
    # Rounds draft behind the prompt alone: families need not look elsewhere.
    place_S = torch.arange(tokens_BT.shape[1] - 1, device=tokens_BT.device)
    first_B1, last_B1 = (edge_B[:, None] - 1 for edge_B in (batch.prompt_B, batch.length_B))
    trained_BS = (place_S >= first_B1) & (place_S < last_B1)
    training_batch = TrainingBatch(
        tokens_BT, trained_BS, output.hidden_BPD, output.taps_BPC, k, prompt_B=batch.prompt_B
    )
    if not isinstance(drafter, Replayable):
        raise TypeError(f"{type(drafter).__name__} cannot be replayed: it has no likelihood")
    accept_BSK = drafter.likelihood(training_batch, sampling)
    if not sampling.greedy:
        probs_BS = text_probs(target, output.hidden_BPD, tokens_BT[:, 1:], sampling)
        accept_BSK = (accept_BSK.double() / probs_BS[..., None]).clamp_max(1.0)
        accept_BSK = accept_BSK.nan_to_num(0.0)
    return replay(accept_BSK, batch.length_B, batch.prompt_B, complete)


def text_probs(target: Target, hidden_BSD: Tensor, labels_BS: Tensor, sampling: Sampling) -> Tensor:
    """probs_BS of the text's own tokens, a few positions unembedded at a time."""
    hidden_nD, labels_n = hidden_BSD.flatten(0, 1), labels_BS.flatten()
    parts = [
        sampling.probs(target.unembed(some_nD)).gather(1, some_n[:, None])[:, 0]
        for some_nD, some_n in zip(hidden_nD.split(CHUNK), labels_n.split(CHUNK), strict=True)
    ]
    return torch.cat(parts).view(labels_BS.shape)


@dataclass(frozen=True)
class Padded:
    """A batch made of lists."""

    tokens_BT: Tensor
    length_B: Tensor
    prompt_B: Tensor

    @classmethod
    def of(
        cls,
        prompts: Sequence[Sequence[int]],
        written: Sequence[Sequence[int]],
        device: torch.device,
    ) -> Padded:
        """Prompts and what was written behind each."""
        pairs = zip(prompts, written, strict=True)
        some = [torch.tensor([*prompt, *text]) for prompt, text in pairs]
        return cls(
            torch.nn.utils.rnn.pad_sequence(some, batch_first=True).to(device),
            torch.tensor([len(text) for text in some], device=device),
            torch.tensor([len(prompt) for prompt in prompts], device=device),
        )


def replay_texts(
    target: Target,
    drafter: Drafter,
    prompts: Sequence[Sequence[int]],
    written: Sequence[Sequence[int]],
    k: int,
    sampling: Sampling,
    complete: bool = False,
    batch: int = 8,
) -> Replay:
    """Replay what the target wrote behind prompts, with a drafter that remembers nothing yet."""
    drafter.reset()
    total = Replay.zero(k)
    for first in range(0, max(len(prompts), len(written)), batch):
        some = slice(first, first + batch)
        padded = Padded.of(prompts[some], written[some], target.device)
        part = replay_batch(target, drafter, padded, k, sampling, complete)
        total += Replay.of_totals(part.totals().cpu())
    return total
