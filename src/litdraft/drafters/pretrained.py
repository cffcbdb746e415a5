"""Any Llama checkpoint as the drafter.

The original setting of speculative decoding (Leviathan et al., arXiv 2211.17192; Chen et al.,
arXiv 2302.01318): a smaller language model that shares the target's tokenizer.
"""

from __future__ import annotations

from pathlib import Path

from litdraft.drafters.cached import Cached
from litdraft.errors import UserError
from litdraft.models.tokenizer import Tokenizer, open_tokenizer, same_tokens
from litdraft.models.weights import load_llama, open_checkpoint
from litdraft.protocols import TargetSpec


class Pretrained(Cached):
    """A Hugging Face or Meta folder or a llama2.c .bin, used as it is or trained on."""

    def __init__(self, spec: TargetSpec | None = None, path: str | Path | None = None) -> None:
        if path is None:
            raise UserError(
                "drafter=pretrained needs drafter.path=CHECKPOINT; drafter=transformer trains a "
                "Llama from scratch"
            )
        self.path = Path(path).expanduser()
        super().__init__(load_llama(open_checkpoint(path)), spec, str(path))

    def check_tokenizer(self, tokenizer: Tokenizer) -> None:
        """UserError if a tokenizer beside the checkpoint disagrees with the target's."""
        if not self.path.is_dir():
            return
        if not any((self.path / name).exists() for name in ("tokenizer.model", "tokenizer.json")):
            return
        differs = same_tokens(open_tokenizer(self.path), tokenizer)
        if differs is not None:
            raise UserError(
                f"{self.path} spells token {differs} otherwise than the target does: give a "
                "drafter with the target's tokenizer"
            )
