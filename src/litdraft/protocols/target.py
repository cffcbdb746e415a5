"""A frozen model being sped up."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Protocol

import torch
from torch import Tensor

from litdraft.protocols.tree import Tree


@dataclass(frozen=True)
class EncoderDecoderLayout:
    """An encoder-decoder's text as one row: a source of up to `limit` tokens, which the encoder
    reads at once, then the decoder's `start` token, then what the decoder writes. The prompt is
    everything up to and including the start token; so a drafter that searches a row's own text also
    searches the source."""

    start: int
    limit: int


def encoder_kwargs(
    encoder_decoder: EncoderDecoderLayout | None,
    start_BP: Tensor | None,
    prompt_B: Tensor | None,
) -> dict[str, Tensor]:
    """The keywords that a network takes beside tokens: not every one can read packed rows, and only
    an encoder-decoder needs to know how long prompts are."""
    given = {"start_BP": start_BP, "prompt_B": None if encoder_decoder is None else prompt_B}
    return {name: values for name, values in given.items() if values is not None}


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
    fingerprint: str = ""  # a hash of its weights, for the keys of caches
    shape: Mapping[str, Any] | None = None  # of a Llama: the sizes of `networks.llama`
    encoder_decoder: EncoderDecoderLayout | None = None  # of an encoder-decoder

    def facts(self) -> dict[str, Any]:
        """Plain data that tells targets apart; their sizes are in the fingerprint."""
        names = [
            part.name for part in fields(self) if part.name not in ("shape", "encoder_decoder")
        ]
        facts = {name: getattr(self, name) for name in names}
        if self.encoder_decoder is not None:
            facts["encoder_decoder"] = asdict(self.encoder_decoder)
        return facts


@dataclass(frozen=True)
class TargetOutput:
    """Final hidden states (after the final norm) of one pass, and the tapped features."""

    hidden_BPD: Tensor
    taps_BPC: Tensor | None = None


class Cache(Protocol):
    """A target's memory of what it has read. Rolling back is not advancing."""

    length_B: Tensor

    def keep(self, count_B: Tensor, path_BP: Tensor | None = None) -> None:
        """Advance each row by count_B of the tokens just read and forget the others: the first ones
        of a chain, or those along path_BP through a tree (indices within the pass, root first)."""

    def limit_slots(self, slots: int) -> None:
        """A promise, until the next call: no row reaches beyond so many slots, nor further after
        its prompt than the row of the longest prompt may. So a short context need not pay for the
        capacity of a long one."""

    def select(self, rows_n: Tensor) -> None:
        """Continue with these rows alone, in this order."""


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
        tree: Tree | None = None,
    ) -> TargetOutput:
        """Read tokens after what the cache holds (without one: from position 0, causally).

        The cache does not advance; its `keep` does. taps are residual streams after layer i,
        0 = the embeddings, concatenated along C. With a cache the tokens may form a draft tree: a
        token's position is then the row's length plus its depth, and it sees the text and its
        ancestors. start_BP, for training without a cache, is where each token's own text begins in
        a packed row: texts do not read each other.

        prompt_B is given with whatever begins at position 0, and is how much of it is prompt. An
        encoder-decoder needs it (see `EncoderDecoderLayout`): its encoder reads all but the last of
        those tokens, and hidden states there are the encoder's last, as are the taps. With an empty
        cache the prompts alone are read, and what follows them is padding.
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
    def trees(self) -> bool:
        """Whether it can read draft trees."""

    @property
    def packed(self) -> tuple[Tensor, Tensor] | None:
        """Embedding and unembedding as native operations read them, where the target is fused."""
