"""Draft trees on transformers' architectures: read like their paths, or refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.foreign import ARCHITECTURES, network
from tests.networks.trees import PARENTS, ROWS, check_tree

from litdraft.checkpoints.hf_causal_check import checked_model
from litdraft.errors import UserError
from litdraft.networks.hf_cache import HFCache
from litdraft.networks.hf_causal import HFCausal
from litdraft.protocols import Tree
from litdraft.targets.hf_causal import HFCausalTarget

# Attention with a bias for the distance between slots (ALiBi).
WITHOUT_TREES: dict[str, dict[str, Any]] = {"bloom": {}, "falcon": {"alibi": True}, "mpt": {}}


def causal_of(kind: str, dtype: torch.dtype = torch.float64, **sizes: Any) -> HFCausal:
    return checked_model(network(kind, dtype, **sizes), 128, f"random {kind}")


@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind not in {"bloom"}])
def test_a_tree_is_read_like_its_paths(kind: str) -> None:
    """Sliding windows of six tokens are passed: they count positions, not slots."""
    causal = causal_of(kind)
    assert causal.trees
    tokens_BP = torch.randint(3, 20, (ROWS, 9), generator=torch.Generator().manual_seed(1))

    def prefilled() -> HFCache:
        cache = causal.allocate(ROWS, 64)
        causal.forward(tokens_BP, cache)
        cache.keep(torch.tensor([9, 2, 5]))
        return cache

    # Gemma 2 computes some steps in float32, whatever the type of the weights.
    tolerance = 1e-5 if kind == "gemma2" else 1e-9
    for parents in PARENTS:
        check_tree(causal, prefilled, parents, tolerance)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@pytest.mark.parametrize("kind", WITHOUT_TREES)
def test_an_architecture_without_trees_is_recognized(kind: str, dtype: torch.dtype) -> None:
    """By trial, also if the type rounds coarsely."""
    assert not causal_of(kind, dtype, **WITHOUT_TREES[kind]).trees


@pytest.mark.parametrize("kind", ["llama", "gemma3_text", "gpt2"])
def test_rounding_is_not_taken_for_a_missing_ability(kind: str) -> None:
    assert causal_of(kind, torch.bfloat16).trees


def test_a_tree_is_refused_by_name() -> None:
    target = HFCausalTarget(causal_of("bloom"), "my-bloom")
    assert not target.trees
    tree = Tree.of(torch.tensor([[-1, -1]]))
    with pytest.raises(UserError, match="my-bloom cannot read draft trees"):
        target.forward(torch.tensor([[3, 4, 5]]), target.allocate(1, 20), tree=tree)
