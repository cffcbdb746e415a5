"""Checks by trial that a transformers model decodes through LitDraft's cache as it does without.

There is no list of supported architectures: each model is tried.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from litdraft.errors import UserError
from litdraft.networks.hf_causal import HFCausal
from litdraft.protocols import Tree

# Largest allowed difference of the cached logits, relative to the largest logit. A wrong mask or
# position changes logits completely; half precision by a few hundredths.
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
HALF_TOLERANCE = 0.1
LENGTH, LAG = 16, 5  # tokens of the trial, and by how many its second row is behind the first
SIBLINGS, DEPTH = 48, 3  # of the trial's tree; shows models that count positions by slots
SLOTS = 1024  # of the trial's cache; shows models that count positions from a cache's end


@torch.inference_mode()
def checked_model(model: Any, context: int, name: str) -> HFCausal:
    """The model with LitDraft's cache, after a trial: two texts of different length in three cached
    passes, one of which is rolled back, must give the logits of one plain pass. UserError if they
    differ."""
    failed = f"{name} is a {model.config.model_type} model ({type(model).__name__}), which "
    try:
        vocabulary = model.get_input_embeddings().weight.shape[0]
        tokens_BT = (torch.arange(2 * LENGTH, device=model.device).view(2, -1) * 7 + 3) % vocabulary
        plain_BTV = model(tokens_BT, use_cache=False).logits
        causal = HFCausal(model, context)
        cached_BTV = _cached_logits(causal, tokens_BT)
        causal.forward(tokens_BT, taps=tuple(range(causal.config.layers + 1)))
    except Exception as error:  # third-party code can raise anything
        raise UserError(
            f"{failed}does not work with LitDraft's cache ({type(error).__name__}: {error})"
        ) from error
    difference = _relative_difference(cached_BTV, plain_BTV[:, LAG:])
    tolerance = TOLERANCE.get(causal.dtype, HALF_TOLERANCE)
    if not difference < tolerance:
        raise UserError(
            f"{failed}gives other logits with a cache that rolls back than without a cache (they "
            f"differ by {difference:.0%} of the largest): it cannot be a target"
        )
    causal.packs = _packs(causal, tokens_BT, tolerance)
    causal.trees = _trees(causal, tolerance)
    return causal


def _packs(causal: HFCausal, tokens_BT: Tensor, tolerance: float) -> bool:
    """Whether a text packed after another in a row gives the same states as alone."""
    start_BT = LAG * (torch.arange(LENGTH, device=tokens_BT.device) >= LAG).expand_as(tokens_BT)
    packed_BTD = causal.forward(tokens_BT, start_BP=start_BT)[0]
    alone_BTD = causal.forward(tokens_BT[:, LAG:])[0]
    return _relative_difference(packed_BTD[:, LAG:], alone_BTD) < tolerance


def _trees(causal: HFCausal, tolerance: float) -> bool:
    """Whether a path through a tree gives the same states as read alone: the last of many children
    of the root, and a chain below it. A model whose attention depends on distances between slots
    fails."""
    tokens_1T = torch.arange(LENGTH + 1 + SIBLINGS + DEPTH, device=causal.device)[None] * 7 + 3
    tokens_1T %= causal.config.vocabulary
    text_1P, pass_1P = tokens_1T.split((LENGTH, 1 + SIBLINGS + DEPTH), 1)
    parents = [-1] * SIBLINGS + [SIBLINGS - 1 + step for step in range(DEPTH)]
    tree = Tree.of(torch.tensor([parents], device=causal.device))
    chain_1P = torch.cat((pass_1P[:, :1], pass_1P[:, SIBLINGS:]), 1)
    tree_1PD = _after_text(causal, text_1P, pass_1P, tree)[:, SIBLINGS:]
    chain_1PD = _after_text(causal, text_1P, chain_1P)[:, 1:]
    return _relative_difference(tree_1PD, chain_1PD) < tolerance


def _after_text(
    causal: HFCausal, text_1P: Tensor, tokens_1P: Tensor, tree: Tree | None = None
) -> Tensor:
    """hidden_1PD of tokens read after a text."""
    cache = causal.allocate(1, text_1P.shape[1] + tokens_1P.shape[1])
    causal.forward(text_1P, cache)
    cache.keep(torch.full_like(cache.length_B, text_1P.shape[1]))
    return causal.forward(tokens_1P, cache, tree=tree)[0]


def _relative_difference(x: Tensor, y: Tensor) -> float:
    """The largest difference, relative to the largest value."""
    return float((x - y).abs().max() / y.abs().max())


def _cached_logits(causal: HFCausal, tokens_BT: Tensor) -> Tensor:
    """Logits after the first LAG tokens; the second row is read LAG tokens behind the first."""
    cache = causal.allocate(2, max(min(SLOTS, causal.config.context), 2 * LENGTH))
    count_B = torch.tensor([2 * LAG, LAG], device=tokens_BT.device)
    first_BPD = causal.forward(tokens_BT[:, : 2 * LAG], cache)[0]
    cache.keep(count_B)
    causal.forward(tokens_BT.flip(1)[:, :3], cache)  # draft tokens that are all rejected
    steps_P = torch.arange(LENGTH - 2 * LAG, device=tokens_BT.device)
    more_BPD = causal.forward(tokens_BT.gather(1, count_B[:, None] + steps_P), cache)[0]
    cache.keep(torch.full_like(count_B, len(steps_P)))
    rest_1PD = causal.forward(tokens_BT[:, -LAG:], cache)[0][1:]
    one_1PD = torch.cat((first_BPD[:1, LAG:], more_BPD[:1]), 1)
    other_1PD = torch.cat((more_BPD[1:], rest_1PD), 1)
    return causal.unembed(torch.cat((one_1PD, other_1PD)))
