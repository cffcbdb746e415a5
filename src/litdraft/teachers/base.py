"""What is remembered of a frozen target's reading: everything, its hidden states, or its best
guesses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.protocols import Target, TargetOutput, TargetSpec
from litdraft.sampling import log_softmax

Logits = Callable[[Tensor], Tensor]
CHUNK = 1024  # positions unembedded at a time

TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


class Taught(Protocol):
    """A batch of text, and what a cache kept of it."""

    @property
    def tokens_BT(self) -> Tensor: ...

    @property
    def prompt_B(self) -> Tensor: ...

    @property
    def start_BT(self) -> Tensor | None: ...

    @property
    def taught(self) -> dict[str, Tensor] | None: ...


class Teacher(Protocol):
    """How a drafter's module learns what the target says about a text.

    cached: `keep` is written to disk once and comes back as `Batch.taught`. reads: it gives hidden
    states and taps, and not the target's distribution alone.
    """

    cached: bool
    reads: bool

    def facts(self, target: Target) -> dict[str, Any]:
        """Plain data that decides what is kept."""

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float: ...

    def keep(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        """What to remember of a reading, flattened to n positions."""

    def output(self, target: Target, batch: Taught, taps: tuple[int, ...]) -> TargetOutput | None:
        """The target's reading of all tokens but the last; None if that was not kept."""

    def logits(self, target: Target, batch: Taught, output: TargetOutput | None) -> Logits:
        """From flat positions to the target's logits_nV there."""


@dataclass(frozen=True)
class Online:
    """The target reads every batch itself: no disk, and its time in every step."""

    cached = False
    reads = True

    def facts(self, target: Target) -> dict[str, Any]:
        return {}

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float:
        return 0.0

    def keep(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        return {}

    def output(self, target: Target, batch: Taught, taps: tuple[int, ...]) -> TargetOutput | None:
        with torch.no_grad():
            start_BP = None if batch.start_BT is None else batch.start_BT[:, :-1]
            return target.forward(
                batch.tokens_BT[:, :-1], taps=taps, start_BP=start_BP, prompt_B=batch.prompt_B
            )

    def logits(self, target: Target, batch: Taught, output: TargetOutput | None) -> Logits:
        assert output is not None
        hidden_nD = output.hidden_BPD.flatten(0, 1)
        return lambda rows_n: target.unembed(hidden_nD[rows_n])


@dataclass(frozen=True)
class Hidden:
    """The last hidden states and the taps, kept on disk; the frozen head says the rest.

    dtype: auto keeps the target's own type, and loses nothing; bfloat16; or int8, with one scale a
    vector (its largest absolute value over 127).
    """

    dtype: str = "auto"
    cached = True
    reads = True

    def __post_init__(self) -> None:
        if self.dtype != "auto" and self.dtype not in TYPES:
            known = ", ".join(("auto", *TYPES))
            raise UserError(f"teacher.dtype={self.dtype} was given: choose one of {known}")

    def facts(self, target: Target) -> dict[str, Any]:
        return {"kept": "hidden", "type": str(self._type(target.dtype)).removeprefix("torch.")}

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float:
        type_ = self._type(dtype)
        scales = 4 * (1 + bool(taps)) if type_ == torch.int8 else 0
        return spec.width * (1 + taps) * type_.itemsize + scales

    def keep(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        kept = {"hidden": output.hidden_BPD}
        if output.taps_BPC is not None:
            kept["taps"] = output.taps_BPC
        type_ = self._type(target.dtype)
        if type_ != torch.int8:
            return {name: values_nC.to(type_) for name, values_nC in kept.items()}
        small = {}
        for name, values_nC in kept.items():
            scale_n1 = values_nC.float().abs().amax(-1, keepdim=True).clamp_min(1e-30) / 127
            small[name] = (values_nC / scale_n1).round().to(torch.int8)
            small[f"{name}_scale"] = scale_n1
        return small

    def output(self, target: Target, batch: Taught, taps: tuple[int, ...]) -> TargetOutput | None:
        assert batch.taught is not None
        hidden_BSD = self._restored(batch.taught, "hidden", target.dtype)
        taps_BSC = self._restored(batch.taught, "taps", target.dtype) if taps else None
        return TargetOutput(hidden_BSD, taps_BSC)

    def logits(self, target: Target, batch: Taught, output: TargetOutput | None) -> Logits:
        return Online().logits(target, batch, output)

    def _type(self, dtype: torch.dtype) -> torch.dtype:
        return dtype if self.dtype == "auto" else TYPES[self.dtype]

    def _restored(self, taught: dict[str, Tensor], name: str, dtype: torch.dtype) -> Tensor:
        values = taught[name].to(dtype)
        return values * taught[f"{name}_scale"].to(dtype) if f"{name}_scale" in taught else values


@dataclass(frozen=True)
class TopK:
    """The `top` largest log-probabilities of every position, kept on disk, and the mass behind
    them, which is spread evenly over all other tokens. For drafters that read tokens alone."""

    top: int = 64
    cached = True
    reads = False

    def __post_init__(self) -> None:
        if self.top < 1:
            raise UserError(f"teacher.top={self.top} was given, but it must be at least 1")

    def facts(self, target: Target) -> dict[str, Any]:
        return {"kept": "topk", "top": self.top}

    def bytes_per_token(self, spec: TargetSpec, dtype: torch.dtype, taps: int) -> float:
        return 6.0 * min(self.top, spec.vocabulary) + 4

    def keep(self, target: Target, output: TargetOutput) -> dict[str, Tensor]:
        parts = [self._best(target.unembed(some)) for some in output.hidden_BPD.split(CHUNK)]
        top, token, rest = (torch.cat(part) for part in zip(*parts, strict=True))
        return {"top": top, "token": token, "rest": rest}

    def output(self, target: Target, batch: Taught, taps: tuple[int, ...]) -> TargetOutput | None:
        return None

    def logits(self, target: Target, batch: Taught, output: TargetOutput | None) -> Logits:
        assert batch.taught is not None
        flat = {name: values.flatten(0, 1) for name, values in batch.taught.items()}

        def logits(rows_n: Tensor) -> Tensor:
            others = max(target.spec.vocabulary - flat["top"].shape[1], 1)
            rest_n1 = flat["rest"][rows_n] - torch.log(flat["rest"].new_tensor(others))
            all_nV = rest_n1.expand(-1, target.spec.vocabulary).clone()
            return all_nV.scatter_(1, flat["token"][rows_n].long(), flat["top"][rows_n].float())

        return logits

    def _best(self, logits_nV: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        log_nV = log_softmax(logits_nV)
        top_nN, token_nN = log_nV.topk(min(self.top, log_nV.shape[1]))
        rest_n1 = (1 - top_nN.exp().sum(-1, keepdim=True)).clamp_min(1e-30).log()
        return top_nN.half(), token_nN.int(), rest_n1
