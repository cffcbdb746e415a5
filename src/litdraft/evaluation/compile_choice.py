"""Whether compiling rounds saves more time than it costs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TypeVar

from torch._dynamo.exc import TorchDynamoException

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.result import Decoder
from litdraft.decoding.speculate import Speculate

# Seen on two CPU cores with small models: 9 to 13 seconds a graph, and up to a third of a round.
SECONDS_TO_COMPILE = 25.0
SHARE_SAVED = 0.25


D = TypeVar("D", bound=Decoder)


def faster(candidates: Sequence[D], prompts: Sequence[Sequence[int]], max_new_tokens: int) -> D:
    """The fastest of several that decode the same, on one batch: compiling a loop of very small
    operations can also slow it down, and a slow baseline would flatter every drafter."""
    if len(candidates) == 1 or not prompts:
        return candidates[0]
    seconds: dict[int, list[float]] = {index: [] for index in range(len(candidates))}
    for turn in range(4):
        for index in list(seconds):
            try:
                result = candidates[index].generate(prompts, max_new_tokens)
            except TorchDynamoException as error:
                warnings.warn(
                    f"decoding goes on without compiling: {str(error).splitlines()[0]}; "
                    "torch.compile needs a C++ compiler",
                    stacklevel=2,
                )
                del seconds[index]
                continue
            if turn > 0:  # the first one compiles and warms up
                seconds[index].append(result.decode_seconds)
    return candidates[min(seconds, key=lambda index: min(seconds[index]))]


def worth_compiling(
    plain: Autoregress,
    loop: Speculate,
    prompts: Sequence[Sequence[int]],
    max_new_tokens: int,
    times: float,
) -> bool:
    """Whether `times` calls like this one save more than compiling both decoders costs."""
    seconds = 0.0
    for decoder in (plain, loop):
        decoder.generate(prompts, min(max_new_tokens, 16))
        some = decoder.generate(prompts, min(max_new_tokens, 16))
        seconds += some.decode_seconds * max_new_tokens / min(max_new_tokens, 16)
    return seconds * times * SHARE_SAVED > SECONDS_TO_COMPILE
