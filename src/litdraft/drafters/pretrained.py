"""Any checkpoint as the drafter.

The original setting of speculative decoding (Leviathan et al., arXiv 2211.17192; Chen et al.,
arXiv 2302.01318): a smaller language model that shares the target's tokenizer.
"""

from __future__ import annotations

from pathlib import Path

from litdraft.checkpoints.hub import local_path
from litdraft.checkpoints.load import load_network
from litdraft.drafters.parts.cached_lm import Cached
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec
from litdraft.tokenizers.base import Tokenizer, piece_or_none
from litdraft.tokenizers.intersection import SharedVocabulary, intersection, same_ids
from litdraft.tokenizers.load import (
    TOKENIZER_FILES,
    check_tokenizer,
    first_difference,
    open_tokenizer,
)

CHOICES = (None, "intersection")


class Pretrained(Cached):
    """A checkpoint that target=llama, hf_causal or seq2seq takes, as it is or trained on.

    tokenizer: its own, where that does not lie beside it. vocabulary=intersection drafts with
    another tokenizer than the target's, only tokens that both spell alike.
    """

    def __init__(
        self,
        spec: TargetSpec | None = None,
        path: str | Path | None = None,
        tokenizer: str | Path | None = None,
        vocabulary: str | None = None,
    ) -> None:
        if path is None:
            raise UserError(
                "drafter=pretrained needs drafter.path=CHECKPOINT; drafter=transformer trains a "
                "Llama from scratch"
            )
        if vocabulary not in CHOICES:
            raise UserError(
                f"drafter.vocabulary={vocabulary} was given: choose null or intersection"
            )
        super().__init__(load_network(path))
        self.path, self.tokenizer, self.vocabulary = path, tokenizer, vocabulary
        self.spec = spec

    def set_tokenizer(self, theirs: Tokenizer) -> None:
        """Find the target's tokens among one's own; UserError where they differ, unless only what
        both have is to be drafted."""
        mine, size = self._tokenizer(), self.model.config.vocabulary
        there = theirs.size if self.spec is None else self.spec.vocabulary
        told = f"{self.path} has {size} tokens, the target {there}"
        if mine is None and size != there:
            raise UserError(f"{told}: give a drafter with the target's tokenizer")
        if mine is not None:
            check_tokenizer(mine, size)
        first = None if mine is None else first_difference(mine, theirs)
        if mine is None or first is None:
            if size != there or self._starts() is not None:  # or rounded up differently
                self.share(self._begun(same_ids(min(size, there), there)))
        elif self.vocabulary == "intersection":
            self.share(self._begun(intersection(mine, theirs, there)))
        else:
            raise UserError(
                f"{told}, and token {first} is {piece_or_none(mine, first)!r} here and "
                f"{piece_or_none(theirs, first)!r} there: give a drafter with the target's "
                "tokenizer, or drafter.vocabulary=intersection to draft only what both spell alike"
            )

    def _starts(self) -> tuple[int, int] | None:
        """The token that a decoder starts with, the target's and its own, where they differ."""
        theirs = None if self.spec is None else self.spec.encoder_decoder
        if (
            theirs is None
            or self.encoder_decoder is None
            or theirs.start == self.encoder_decoder.start
        ):
            return None
        return theirs.start, self.encoder_decoder.start

    def _begun(self, view: SharedVocabulary) -> SharedVocabulary:
        """It reads its own start token for the target's."""
        if (starts := self._starts()) is not None:
            view.input_V[starts[0]] = starts[1]
        return view

    def _tokenizer(self) -> Tokenizer | None:
        """Its own, if one is given or lies beside it."""
        if self.tokenizer is not None:
            return open_tokenizer(self.tokenizer)
        folder = local_path(self.path, weights=False)
        beside = (folder / name for name in TOKENIZER_FILES)
        return open_tokenizer(folder) if any(path.is_file() for path in beside) else None
