"""Whether compiling rounds is worth the wait."""

from __future__ import annotations

from collections.abc import Sequence

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate

# Seen on two CPU cores with small models: 9 to 13 seconds an act, and up to a third of a round.
SECONDS_TO_COMPILE = 25.0
SHARE_SAVED = 0.25


def worth_compiling(
    plain: Autoregress,
    loop: Speculate,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    times: float,
) -> bool:
    """Whether `times` calls like this one would win back what compiling both decoders costs."""
    seconds = 0.0
    for decoder in (plain, loop):
        decoder.generate(prompts, min(max_new_tokens, 16))
        some = decoder.generate(prompts, min(max_new_tokens, 16))
        seconds += some.decode_seconds * max_new_tokens / min(max_new_tokens, 16)
    return seconds * times * SHARE_SAVED > SECONDS_TO_COMPILE
