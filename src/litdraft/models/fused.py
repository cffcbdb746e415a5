"""A Llama whose passes over few tokens are one fused step on a CPU (`fused.cpp`).

The step is compiled on first use by torch's extension loader and kept in its cache. Weights are
packed once, in the order in which the step reads them, and the model given is taken apart for it:
memory holds the weights only once.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from litdraft.models.llama import Llama, LlamaConfig

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-std=c++20"]
DTYPES = (torch.float32, torch.bfloat16)
OUT, IN = 16, 32  # a block of a packed matrix, as in fused.cpp
ROWS = 512  # tokens a pass at most: longer texts are read piece by piece


@functools.cache
def available() -> bool:
    """Build and load the step, once a process; where that fails, one warning and False."""
    if platform.machine() not in ("x86_64", "AMD64") or sys.platform != "linux":
        return False
    try:
        from torch.utils.cpp_extension import load

        # ninja is installed beside python, which need not be on the path.
        os.environ["PATH"] += os.pathsep + str(Path(sys.executable).parent)
        load(_name(), [str(SOURCE)], extra_cflags=FLAGS, extra_ldflags=["-fopenmp"],
             is_python_module=False)  # fmt: skip
    except (ImportError, OSError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        warnings.warn(
            f"decoding goes on without the fused step, more slowly: it did not build ({why}); "
            "it needs a C++ compiler such as g++",
            stacklevel=2,
        )
        return False
    _describe()
    return True


def _name() -> str:
    """One build for each source, torch and processor: a home folder may serve several machines."""
    with Path("/proc/cpuinfo").open() as lines:
        flags = next((line for line in lines if line.startswith("flags")), "")
    made_of = (SOURCE.read_text(), " ".join(FLAGS), torch.__version__, flags)
    return "litdraft_" + hashlib.sha256("\0".join(made_of).encode()).hexdigest()[:12]


def _describe() -> None:
    """Tell torch.compile the shapes that the step's operations return."""

    @torch.library.register_fake("litdraft::read")
    def _(packed, shape, eps, norms, rotary, tokens, length, keys, values, taps):  # type: ignore[no-untyped-def]
        rows, width = tokens.shape, shape[1]
        return norms.new_empty(*rows, width), norms.new_empty(*rows, width * len(taps))

    @torch.library.register_fake("litdraft::linear")
    def _(packed, outputs, x):  # type: ignore[no-untyped-def]
        return x.new_empty(x.shape[0], outputs)

    @torch.library.register_fake("litdraft::embed")
    def _(packed, width, tokens):  # type: ignore[no-untyped-def]
        return packed.new_empty(tokens.shape[0], width, dtype=torch.float32)


def packed(weight_OI: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix in the step's order, flat; padded with zeros to whole blocks."""
    outputs, inputs = weight_OI.shape
    whole = torch.zeros(-(-outputs // OUT) * OUT, -(-inputs // IN) * IN, dtype=dtype)
    whole[:outputs, :inputs] = weight_OI
    pair = 4 // whole.element_size()
    blocks: Tensor = whole.view(len(whole) // OUT, OUT, -1, IN // pair, pair)
    return blocks.permute(0, 2, 3, 1, 4).flatten()


def interleaved(gate_up_OI: Tensor) -> Tensor:
    """Gates and ups in turn, a block of each: the step multiplies them where they meet."""
    gate_up = gate_up_OI.view(2, -1, gate_up_OI.shape[1])
    inner = gate_up.shape[1]
    padded = gate_up.new_zeros(2, -(-inner // OUT) * OUT, gate_up.shape[2])
    padded[:, :inner] = gate_up
    return padded.view(2, -1, OUT, padded.shape[2]).transpose(0, 1).flatten(0, 2)


def packed_size(outputs: int, inputs: int) -> int:
    return -(-outputs // OUT) * OUT * -(-inputs // IN) * IN


class FusedCache:
    """Keys and values in the step's order, L x B x H x n, and one length per row.

    As StaticCache: a pass writes behind each row's length, `keep` advances it.
    """

    def __init__(self, config: LlamaConfig, rows: int, room: int, dtype: torch.dtype) -> None:
        slots, width = -(-room // IN) * IN, config.head_width
        heads = (config.layers, rows, config.kv_heads)
        self.keys_LBHn = torch.zeros(*heads, slots * -(-width // IN) * IN, dtype=dtype)
        self.values_LBHn = torch.zeros(*heads, slots * -(-width // OUT) * OUT, dtype=dtype)
        self.length_B = torch.zeros(rows, dtype=torch.long)

    def within(self, slots: int) -> None:
        """Nothing to do: the step looks no further than a row is long."""

    def select(self, rows_n: Tensor) -> None:
        """Go on with these rows alone."""
        self.keys_LBHn = self.keys_LBHn[:, rows_n]
        self.values_LBHn = self.values_LBHn[:, rows_n]
        self.length_B = self.length_B[rows_n]

    def keep(self, count_B: Tensor) -> None:
        """Advance each row by the first count_B of the tokens just read."""
        self.length_B += count_B


class FusedLlama(nn.Module):
    """A frozen Llama taken apart and packed. The same reading as `Llama`'s; hidden states, taps and
    logits come in float32, whatever the type of the weights."""

    def __init__(self, model: Llama) -> None:
        super().__init__()
        config = self.config = model.config
        self.dtype = model.dtype
        self.device = model.device
        self.shape = [
            config.vocabulary, config.width, config.layers, config.heads, config.kv_heads,
            config.head_width, config.inner,
        ]  # fmt: skip
        blocks: list[Any] = list(model.blocks)
        norms = [n for b in blocks for n in (b.attention_norm.weight, b.mlp_norm.weight)]
        self.norms_nD = torch.stack((*norms, model.norm.weight)).float()
        self.rotary_2TE = torch.stack((model.cos_TE, model.sin_TE)).float()
        self.head = None if config.tied else packed(_taken(model.head), self.dtype)
        self.weights = self._packed(model)

    def _packed(self, model: Llama) -> Tensor:
        """All that the step streams, in its order; the model's matrices go as they are packed."""
        modules: list[Any] = [model.embedding]
        for block in model.blocks:
            modules += [block.qkv, block.out, block.gate_up, block.down]
        sizes = [packed_size(*module.weight.shape) for module in modules]
        # Gates and ups are padded apart.
        gate_up = 2 * packed_size(self.config.inner, self.config.width)
        sizes = [gate_up if n % 4 == 3 else size for n, size in enumerate(sizes)]
        flat, at = torch.empty(sum(sizes), dtype=self.dtype), 0
        for number, (module, size) in enumerate(zip(modules, sizes, strict=True)):
            weight = _taken(module)
            flat[at : at + size] = packed(
                interleaved(weight) if number % 4 == 3 else weight, self.dtype
            )
            at += size
        return flat

    def allocate(self, rows: int, room: int) -> FusedCache:
        return FusedCache(self.config, rows, room, self.dtype)

    def read(
        self, tokens_BP: Tensor, cache: FusedCache | None = None, taps: tuple[int, ...] = ()
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_BPD after the final norm, and the residual streams after the tapped layers."""
        rows, count = tokens_BP.shape
        if cache is not None and rows * count <= ROWS:
            return self._read(tokens_BP, cache, cache.length_B, taps)
        # A long text, or one without a cache: some rows, and of those some tokens, at a time.
        cache = cache or self.allocate(rows, count)
        some = max(1, ROWS // rows)
        pieces = [
            self._read(tokens_BP[:, at : at + some], cache, cache.length_B + at, taps)
            for at in range(0, count, some)
        ]
        hidden_BPD = torch.cat([hidden for hidden, _ in pieces], 1)
        return hidden_BPD, torch.cat([tap for _, tap in pieces], 1) if taps else None  # type: ignore[misc]

    def _read(
        self, tokens_BP: Tensor, cache: FusedCache, length_B: Tensor, taps: tuple[int, ...]
    ) -> tuple[Tensor, Tensor | None]:
        hidden_BPD, taps_BPC = torch.ops.litdraft.read(
            self.weights, self.shape, self.config.norm_eps, self.norms_nD, self.rotary_2TE,
            tokens_BP, length_B, cache.keys_LBHn, cache.values_LBHn, taps,
        )  # fmt: skip
        return hidden_BPD, taps_BPC if taps else None

    def embed(self, tokens: Tensor) -> Tensor:
        width = self.config.width
        embedded: Tensor = torch.ops.litdraft.embed(self.weights, width, tokens.flatten())
        return embedded.view(*tokens.shape, width)

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        """logits_nV through the tied or the own head."""
        return linear(hidden_nD, self._head, self.config.vocabulary)

    def narrowed(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to some tokens, whose rows are copied: hidden_nD -> logits_nU."""
        rows_UD = torch.ops.litdraft.embed(self._head, self.config.width, vocabulary_U)
        weight = packed(rows_UD, self.dtype)
        return functools.partial(linear, weight=weight, outputs=len(vocabulary_U))

    @property
    def _head(self) -> Tensor:
        return self.weights if self.head is None else self.head


def linear(x_nC: Tensor, weight: Tensor, outputs: int) -> Tensor:
    """A product with a packed matrix; float32 in and out."""
    y_nO: Tensor = torch.ops.litdraft.linear(
        weight, outputs, x_nC.reshape(-1, x_nC.shape[-1]).float()
    )
    return y_nO.view(*x_nC.shape[:-1], outputs)


class FusedLinear(nn.Module):
    """A packed linear layer for few rows; float32 in and out."""

    def __init__(self, layer: nn.Linear, dtype: torch.dtype) -> None:
        super().__init__()
        self.in_features, self.outputs = layer.in_features, layer.out_features
        self.packed: Tensor
        self.register_buffer("packed", packed(layer.weight.detach(), dtype))
        self.bias = layer.bias

    def forward(self, x_nC: Tensor) -> Tensor:
        y_nO = linear(x_nC, self.packed, self.outputs)
        return y_nO if self.bias is None else y_nO + self.bias


def fusable(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the fused step can be had here, with weights of this type."""
    return device.type == "cpu" and dtype in DTYPES and available()


def fuse(module: nn.Module, dtype: torch.dtype) -> None:
    """Replace every Llama and every linear layer below a module by its packed twin, for decoding:
    the same results up to rounding, and no gradients."""
    for name, child in module.named_children():
        if isinstance(child, Llama):
            setattr(module, name, FusedLlama(child.to(dtype)))
        elif isinstance(child, nn.Linear):
            setattr(module, name, FusedLinear(child, dtype))
        else:
            fuse(child, dtype)


def fastest_dtype() -> torch.dtype:
    """The type whose weights this processor gets through sooner, by trying both on a matrix that
    does not fit a core's own caches."""
    x, seconds = torch.randn(4, 1024), {}
    for dtype in DTYPES:
        weights = packed(torch.randn(8192, 1024), dtype)
        times = []
        for _ in range(12):
            started = time.perf_counter()
            torch.ops.litdraft.linear(weights, 8192, x)
            times.append(time.perf_counter() - started)
        seconds[dtype] = sorted(times)[4]
    return min(seconds, key=lambda dtype: seconds[dtype])


def _taken(module: Any) -> Tensor:
    """A module's weight, which it loses."""
    weight: Tensor = module.weight.detach()
    module.weight = None
    return weight
