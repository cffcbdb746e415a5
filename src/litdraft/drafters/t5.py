"""A small T5 of one's own, with its own encoder pass over the source.

FLAN-T5's smaller sister as its drafter is the setting of Leviathan et al. (arXiv 2211.17192, whose
targets are T5-XXL) and of DistillSpec (arXiv 2310.08461). Without a target it is trained on text
alone, and can then be one.
"""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from litdraft.drafters.cached import Cached
from litdraft.errors import UserError
from litdraft.models.t5 import T5
from litdraft.models.t5_blocks import ACTIVATIONS, T5Config
from litdraft.models.tokenizer import Tokenizer
from litdraft.protocols import TargetSpec

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
        if spec is not None and model.config.vocabulary != spec.vocabulary:
            raise UserError(
                f"drafter.vocabulary={model.config.vocabulary} was given, but {spec.name} has "
                f"{spec.vocabulary} tokens: leave it out"
            )

    def meet(self, tokenizer: Tokenizer) -> None:
        """UserError if the text's tokens are more than it embeds."""
        if tokenizer.size > self.model.config.vocabulary:
            raise UserError(
                f"drafter.vocabulary={self.model.config.vocabulary} was given, but the tokenizer "
                f"has {tokenizer.size} pieces: raise it, or leave it out"
            )


def config_of(sizes: dict[str, Any], spec: TargetSpec | None) -> T5Config:
    """The T5 of some given sizes, vocabulary and start token the target's; UserError if none."""
    known = [field.name for field in fields(T5Config)]
    if unknown := sorted(sizes.keys() - set(known)):
        told = ", ".join(known)
        raise UserError(f"drafter has {', '.join(unknown)}, but a T5 has only {told}")
    chosen = {name: size for name, size in sizes.items() if size is not None}
    if spec is not None:
        chosen.setdefault("vocabulary", spec.vocabulary)
        if spec.sides is not None:
            chosen |= {"start": spec.sides.start}
    chosen.setdefault("start", 0)
    for size in SIZES:
        value = chosen.get(size, getattr(T5Config, size, None))
        if type(value) is not int or value < 1:
            raise UserError(f"drafter.{size} is {value}, but must be a whole number above 0")
    config = T5Config(**chosen)
    if config.activation not in ACTIVATIONS or config.buckets % 4:
        told = ", ".join(ACTIVATIONS)
        raise UserError(
            f"drafter.activation={config.activation}, drafter.buckets={config.buckets} were given: "
            f"choose one of {told}, and a multiple of 4"
        )
    return config
