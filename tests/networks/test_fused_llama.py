"""The native operation gives what the eager network gives, within the rounding of its types."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.fakes import random_llama
from tests.networks.trees import PARENTS, ROWS, check_tree

from litdraft.native.build import available, linear, packed
from litdraft.networks.fused_llama import FusedCache, FusedLlama
from litdraft.networks.llama import Llama
from litdraft.protocols import Tree

pytestmark = pytest.mark.skipif(not available(), reason="the fused step does not build here")

# Sizes of no whole block; grouped heads; a separate head; wide heads.
SHAPES: list[dict[str, Any]] = [
    {},
    {"width": 40, "heads": 6, "kv_heads": 2, "head_width": 6, "inner": 37, "tied": False},
    {"width": 96, "heads": 3, "kv_heads": 3, "head_width": 48, "inner": 80, "vocabulary": 100},
    {"width": 64, "heads": 16, "kv_heads": 1, "head_width": 80, "inner": 64, "layers": 1},
]


def twins(shape: dict[str, Any], dtype: torch.dtype) -> tuple[Llama, FusedLlama]:
    """An eager float64 network and the fused step with the same weights, those of `dtype`."""
    given, eager = random_llama(**shape).to(dtype), random_llama(**shape).double()
    for weight in given.parameters():
        if weight.dim() > 1:  # a wide network amplifies what its type rounds off
            weight.data *= (16 / given.config.width) ** 0.5
    eager.load_state_dict(given.state_dict())
    for model in (given, eager):
        model.reset_buffers()
    return eager, FusedLlama(given)


@torch.no_grad()
def test_tokens_need_not_be_contiguous() -> None:
    eager, fused = twins(SHAPES[1], torch.float32)
    tokens_n = torch.randint(0, 20, (9, 4))[:, 1]
    assert not tokens_n.is_contiguous()
    assert torch.allclose(fused.embed(tokens_n), eager.embed(tokens_n).float())


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype, close", [(torch.float32, 1e-5), (torch.bfloat16, 0.06)])
@torch.no_grad()
def test_it_equals_the_eager_network(
    shape: dict[str, Any], dtype: torch.dtype, close: float
) -> None:
    """A prompt, then ragged rows, rejected drafts overwritten; rows of two tiles."""
    eager, fused = twins(shape, dtype)
    torch.manual_seed(0)
    tokens_BT = torch.randint(0, eager.config.vocabulary, (5, 70))
    caches = eager.allocate(5, 70), fused.allocate(5, 70)
    at = 0
    for count in (33, 4, 1, 7, 4):
        some_BP = tokens_BT[:, at : at + count]
        expected, taps = eager.forward(some_BP, caches[0], (0, 2)[: eager.config.layers])
        given, fused_taps = fused.forward(some_BP, caches[1], (0, 2)[: eager.config.layers])
        assert (expected - given).abs().max() < close * expected.abs().max()
        assert taps is not None
        assert fused_taps is not None
        assert (taps - fused_taps).abs().max() < close * taps.abs().max()
        kept_B = torch.tensor([count, max(count - 2, 1), count, 1, count])
        for cache in caches:
            cache.keep(kept_B)
        at += count
    logits = eager.unembed(expected)
    fused_logits = fused.unembed(expected)
    assert (logits - fused_logits).abs().max() < close * logits.abs().max()
    assert torch.equal(fused.argmax(expected), fused_logits.argmax(-1))
    if dtype == torch.float32:
        assert torch.equal(eager.embed(tokens_BT).float(), fused.embed(tokens_BT))


@pytest.mark.parametrize("kind", PARENTS)
@pytest.mark.parametrize("shape", SHAPES[:3])
@pytest.mark.parametrize("dtype, close", [(torch.float32, 1e-5), (torch.bfloat16, 0.06)])
def test_a_tree_is_read_like_its_paths(
    shape: dict[str, Any], dtype: torch.dtype, close: float, kind: str
) -> None:
    """Texts that end on both sides of the borders of blocks of keys and values (16, 32)."""
    _, fused = twins(shape, dtype)
    tokens_BP = torch.randint(0, 20, (ROWS, 30), generator=torch.Generator().manual_seed(1))

    def prefilled() -> FusedCache:
        cache = fused.allocate(ROWS, 50)
        fused.forward(tokens_BP, cache)
        cache.keep(torch.tensor([30, 2, 13]))
        return cache

    check_tree(fused, prefilled, kind, close)


@torch.no_grad()
def test_a_large_tree_is_read_at_once_and_a_broken_one_is_refused() -> None:
    """More tokens than a piece of a prompt has; depths and ancestors need not be contiguous."""
    eager, fused = twins({"context": 640}, torch.float32)
    nodes = 599
    parent_1N = torch.arange(nodes)[None] // 2 - 1
    parent_1N[0, 0] = -1
    tree = Tree.of(parent_1N)
    tree = Tree(tree.depth_BP.expand(2, -1), tree.ancestors_BPP.expand(2, -1, -1))
    tokens_BP = torch.randint(0, 24, (2, nodes + 1))
    expected = eager.forward(tokens_BP, eager.allocate(2, 640), tree=tree)[0]
    given = fused.forward(tokens_BP, fused.allocate(2, 640), tree=tree)[0]
    assert (expected - given).abs().max() < 1e-5 * expected.abs().max()
    broken = Tree(tree.depth_BP + 600, tree.ancestors_BPP)
    with pytest.raises(IndexError, match="depth 600 in a tree of 600"):
        fused.forward(tokens_BP, fused.allocate(2, 640), tree=broken)


@torch.no_grad()
def test_long_texts_are_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    eager, fused = twins({}, torch.float32)
    tokens_BT = torch.randint(0, 24, (3, 50))
    monkeypatch.setattr("litdraft.networks.fused_llama.ROWS", 32)
    assert (eager.forward(tokens_BT)[0] - fused.forward(tokens_BT)[0]).abs().max() < 1e-4
    cache = fused.allocate(3, 60)
    assert (eager.forward(tokens_BT)[0] - fused.forward(tokens_BT, cache)[0]).abs().max() < 1e-4


@pytest.mark.parametrize("rows", [1, 3, 4, 17])
def test_a_packed_product_is_the_product(rows: int) -> None:
    weight_OI, x_nC = torch.randn(70, 50) / 7, torch.randn(rows, 50)
    for dtype, close in ((torch.float32, 1e-5), (torch.bfloat16, 0.05)):
        y_nO = linear(x_nC, packed(weight_OI, dtype), 70)
        assert (x_nC @ weight_OI.T - y_nO).abs().max() < close


def test_torch_compile_knows_the_shapes_of_the_operations() -> None:
    _, fused = twins({}, torch.float32)
    cache, tokens_BP = fused.allocate(2, 8), torch.randint(0, 24, (2, 3))
    operands = (
        fused.weights, fused.shape, 1e-5, fused.norms_nD, fused.rotary_2TE, tokens_BP,
        cache.length_B, cache.keys_LBHn, cache.values_LBHn, [0],
    )  # fmt: skip
    checks = ("test_schema", "test_faketensor")
    torch.library.opcheck(torch.ops.litdraft.read.default, operands, test_utils=checks)
    for name, more in (("linear", (24, torch.randn(2, 16))), ("embed", (16, tokens_BP[0]))):
        operation = getattr(torch.ops.litdraft, name).default
        torch.library.opcheck(operation, (fused.weights, *more), test_utils=checks)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_gates_far_from_zero_are_finite(dtype: torch.dtype) -> None:
    eager, given = random_llama().to(dtype).double(), random_llama().to(dtype)
    for model in (eager, given):
        model.reset_buffers()
        for block in model.blocks:
            block.gate_up.weight.data[: model.config.inner] *= 400  # type: ignore[index,operator,union-attr]
    tokens_BT = torch.randint(0, 24, (2, 9))
    hidden = FusedLlama(given).forward(tokens_BT)[0]
    assert hidden.isfinite().all()
    assert (hidden[0, 0] - eager.forward(tokens_BT)[0][0, 0]).abs().max() < 0.1 * hidden.abs().max()


def test_what_cannot_be_read_is_refused() -> None:
    """As in eager torch: an error instead of foreign memory."""
    _, fused = twins({"context": 64}, torch.float32)
    cache = fused.allocate(1, 32)
    with pytest.raises(IndexError, match="token 24 does not exist"):
        fused.forward(torch.tensor([[24]]), cache)
    cache.length_B += 31
    with pytest.raises(IndexError, match="do not fit a cache"):
        fused.forward(torch.tensor([[1, 2]]), cache)
    assert fused.unembed(torch.zeros(0, 16)).shape == (0, 24)
    assert fused.argmax(torch.zeros(0, 16)).shape == (0,)


def test_fewer_threads_than_asked_and_a_killed_build() -> None:
    """Nothing waits for threads that OpenMP does not start, or for a builder that was killed."""
    program = (
        "import os, torch\n"
        "from pathlib import Path\n"
        "from litdraft.native import build\n"
        "home = os.environ.get('TORCH_EXTENSIONS_DIR') or Path.home() / '.cache/torch_extensions'\n"
        "(Path(home) / build._name() / 'lock').touch()\n"
        "assert build.available()\n"
        "w, x = torch.randn(70, 50), torch.randn(3, 50)\n"
        "y = build.linear(x, build.packed(w, torch.float32), 70)\n"
        "assert (y - x @ w.T).abs().max() < 1e-4\n"
        "from tests.networks.test_fused_llama import test_long_texts_are_read_piece_by_piece "
        "as test\n"
        "import pytest; test(pytest.MonkeyPatch())\n"
    )
    environment = {**os.environ, "OMP_THREAD_LIMIT": "1", "OMP_NUM_THREADS": "2"}
    root = Path(__file__).resolve().parents[2]
    subprocess.run(
        [sys.executable, "-c", program], check=True, env=environment, timeout=120, cwd=root
    )
