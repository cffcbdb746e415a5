"""A small T5 of one's own, with its own encoder pass over the source.

FLAN-T5's smaller sister as its drafter is the setting of Leviathan et al. (arXiv 2211.17192, whose
targets are T5-XXL) and of DistillSpec (arXiv 2310.08461). Without a target it is trained on text
alone, and can then be one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from litdraft.drafters.parts.cached_lm import Cached
from litdraft.drafters.parts.sizes import chosen
from litdraft.errors import UserError
from litdraft.networks.t5 import T5
from litdraft.networks.t5_blocks import ACTIVATIONS, T5Config
from litdraft.protocols import TargetSpec
from litdraft.tokenizers.base import Tokenizer

SIZES = (
    "vocabulary", "width", "encoder_layers", "layers", "heads", "head_width", "inner", "limit",
    "buckets", "reach",
)  # fmt: skip


class T5Drafter(Cached):
    """Of the sizes given (see `models.t5.T5Config`); vocabulary and start token that are not given
    are the target's own. drafter=pretrained takes checkpoints."""

    def __init__(self, spec: TargetSpec | None = None, **sizes: Any) -> None:
        model = T5(config_of(sizes, spec))
        model.reset_parameters()
        super().__init__(model)
        self.alone = spec is None
        if spec is not None and model.config.vocabulary != spec.vocabulary:
            raise UserError(
                f"drafter.vocabulary={model.config.vocabulary} was given, but {spec.name} has "
                f"{spec.vocabulary} tokens: leave it out"
            )

    def set_tokenizer(self, tokenizer: Tokenizer) -> None:
        """UserError if the text that it learns from alone has more tokens than it embeds."""
        if self.alone and tokenizer.size > self.model.config.vocabulary:
            raise UserError(
                f"drafter.vocabulary={self.model.config.vocabulary} was given, but the tokenizer "
                f"has {tokenizer.size} pieces: raise it, or leave it out"
            )


def config_of(given: Mapping[str, Any], spec: TargetSpec | None) -> T5Config:
    """The T5 of some given sizes; vocabulary, start token and limit otherwise the target's.
    UserError if that is none."""
    others = {} if spec is None else {"vocabulary": spec.vocabulary}
    if spec is not None and spec.encoder_decoder is not None:
        others |= asdict(spec.encoder_decoder)
    config = T5Config(**chosen(given, {"start": 0, **others}, T5Config, "a T5", SIZES))
    if config.activation not in ACTIVATIONS:
        known = ", ".join(ACTIVATIONS)
        raise UserError(f"drafter.activation={config.activation} was given: choose one of {known}")
    return config
