"""A frozen model being sped up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True)
class EncoderDecoderLayout:
    """An encoder-decoder's text as one row: a source of up to `limit` tokens, which the encoder
    reads at once, then the decoder's `start` token, then what the decoder writes. The prompt is all
    up to the start token, that included; so whatever reads a row's own text may look into the
    source."""

    start: int
    limit: int


def encoder_kwargs(
    encoder_decoder: EncoderDecoderLayout | None, start_BP: Tensor | None, prompt_B: Tensor | None
) -> dict[str, Tensor]:
    """What a model is told beside tokens, as keywords: not every one knows of packed rows, and only
    those that have `sides` of prompts."""
    told = {"start_BP": start_BP, "prompt_B": None if encoder_decoder is None else prompt_B}
    return {name: values for name, values in told.items() if values is not None}


@dataclass(frozen=True)
class TargetSpec:
    """The plain facts of a target that a drafter or a report may need."""

    name: str
    vocabulary: int
    width: int
    layers: int
    context: int
    bos: int | None
    eos: tuple[int, ...]
    fingerprint: str = ""  # of its weights: what was written by another target is not its own
    shape: Mapping[str, Any] | None = None  # where it is a Llama: the sizes of `models.llama`
    encoder_decoder: EncoderDecoderLayout | None = None  # where it is an encoder-decoder

    def facts(self) -> dict[str, Any]:
        """Plain data that tells targets apart; their sizes are in the fingerprint."""
        told = {part.name: getattr(self, part.name) for part in fields(self)}
        shown = {
            name: value for name, value in told.items() if name not in ("shape", "encoder_decoder")
        }
        return (
            shown
            if self.encoder_decoder is None
            else {**shown, "encoder_decoder": asdict(self.encoder_decoder)}
        )


@dataclass(frozen=True)
class TargetOutput:
    """Final hidden states (after the final norm) of one pass, and the tapped features."""

    hidden_BPD: Tensor
    taps_BPC: Tensor | None = None


class Cache(Protocol):
    """A target's memory of what it has read. Rolling back is not advancing."""

    length_B: Tensor

    def keep(self, count_B: Tensor) -> None:
        """Advance each row by the first count_B of the tokens just read; forget the others."""

    def limit_slots(self, slots: int) -> None:
        """A promise, until the next call of this: no row reaches beyond so many slots, nor further
        behind its prompt than the row of the longest prompt may. So a short context need not pay
        for the room of a long one."""

    def select(self, rows_n: Tensor) -> None:
        """Go on with these rows alone, in this order."""


class Target(Protocol):
    """A frozen model being sped up. Reading and unembedding are apart on purpose: a prompt's
    logits never exist as B x T x V."""

    spec: TargetSpec

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def allocate(self, rows: int, capacity: int) -> Cache:
        """A cache for `rows` rows of `room` tokens; UserError if the model has no such context."""

    def forward(
        self,
        tokens_BP: Tensor,
        cache: Cache | None = None,
        taps: tuple[int, ...] = (),
        start_BP: Tensor | None = None,
        prompt_B: Tensor | None = None,
    ) -> TargetOutput:
        """Read tokens behind what the cache holds (without one: from position 0, causally).

        The cache does not advance; its `keep` does. taps are residual streams after layer i,
        0 = the embeddings, concatenated along C. start_BP, for training without a cache, says
        where each token's own text begins in a packed row: texts do not read each other.

        prompt_B is given with whatever begins at position 0, and says how much of it is prompt. An
        encoder-decoder must hear it (see `Sides`): its encoder reads all but the last of those
        tokens, and hidden states there are the encoder's last, as are the taps. With an empty cache
        the prompts alone are read, and what stands behind them is padding.
        """

    def embed(self, tokens: Tensor) -> Tensor: ...

    def unembed(self, hidden_nD: Tensor) -> Tensor: ...

    def argmax(self, hidden_nD: Tensor) -> Tensor:
        """tokens_n of the largest logit: all that greedy decoding asks for."""

    def unembed_subset(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to these tokens alone: hidden_nD -> logits_nU."""

    def weights(self) -> Mapping[str, Tensor]:
        """Its parameters, where it is not fused: what a drafter may begin as."""

    @property
    def compiles(self) -> bool:
        """Whether torch.compile gets through it in seconds: then compile=auto may."""

    @property
    def packs(self) -> bool:
        """Whether it can read packed rows."""

    @property
    def packed(self) -> tuple[Tensor, Tensor] | None:
        """Embedding and unembedding as native operations read them, where the target is fused."""
