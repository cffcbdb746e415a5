"""The tokens that a drafter's and a target's tokenizer have in common."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from litdraft.tokenizers.base import Tokenizer, bytes_of


class SharedVocabulary(NamedTuple):
    """How a drafter with its own ids works with a target's ids.

    target_U (ascending) and drafter_U: the target's and the drafter's ids of the tokens that both
    have. input_V: the drafter's input id for each token of the target.
    """

    target_U: Tensor
    drafter_U: Tensor
    input_V: Tensor


def same_ids(count: int, vocabulary: int) -> SharedVocabulary:
    """The first `count` ids are the same on both sides, including special tokens; the target, with
    `vocabulary` ids, never writes the others."""
    same_U = torch.arange(count)
    return SharedVocabulary(same_U, same_U, torch.arange(vocabulary).clamp_max(count - 1))


def intersection(drafter: Tokenizer, target: Tokenizer, vocabulary: int) -> SharedVocabulary:
    """Tokens with the same text, and BOS and EOS, whatever their pieces are.

    Decoding is exact if the drafter drafts only these, whatever it reads (token-level intersection,
    arXiv 2502.05202). For a token that the drafter lacks it reads the first of its own tokens for
    the same text, or token 0. `vocabulary`: the number of the target's ids, including spare ones.
    """
    by_text = {bytes_of(drafter, token): token for token in range(drafter.size)}
    texts = (bytes_of(target, token) for token in range(min(target.size, vocabulary)))
    common = {t: by_text[text] for t, text in enumerate(texts) if text and text in by_text}
    for own, other in ((drafter.bos, target.bos), (drafter.eos, target.eos)):
        if own is not None and other is not None:
            common[other] = own
    target_U = sorted(common)
    drafter_U = [common[token] for token in target_U]
    inputs = [common.get(token, -1) for token in range(vocabulary)]
    for token in (t for t, own in enumerate(inputs) if own < 0):
        inputs[token] = next(iter(drafter.encode(target.decode([token]), bos=False)), 0)
    return SharedVocabulary(torch.tensor(target_U), torch.tensor(drafter_U), torch.tensor(inputs))
