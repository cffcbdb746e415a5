"""The native operations of decoding on a CPU: how they are built, and how matrices are packed.

They are compiled on first use by torch's extension loader and kept in its cache (a folder that
TORCH_EXTENSIONS_DIR can choose).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

FOLDER = Path(__file__).parent
FLAGS = ["-O3", "-march=native", "-ffast-math", "-fopenmp", "-std=c++20"]
DTYPES = (torch.float32, torch.bfloat16)
OUT, IN = 16, 32  # a block of a packed matrix, as in blocks.h


@dataclass
class BuildState:
    loaded: bool = False


_state = BuildState()


def usable(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether the native operations work here, with weights of this type. May build them."""
    return device.type == "cpu" and dtype in DTYPES and available()


def loaded(tensor: Tensor) -> bool:
    """Whether this process has loaded the native operations and the tensor is on their device. For
    operations with an equal implementation in torch; builds nothing."""
    return _state.loaded and tensor.device.type == "cpu"


@functools.cache
def available() -> bool:
    """Build and load them, once per process; if that fails, one warning and False."""
    if platform.machine() not in ("x86_64", "AMD64") or sys.platform != "linux":
        return False
    try:
        _build()
    except (ImportError, OSError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        warnings.warn(
            f"native operations did not build ({why}), decoding goes on more slowly without them: "
            "they need a C++ compiler such as g++, and a folder to write to, which "
            "TORCH_EXTENSIONS_DIR can name",
            stacklevel=2,
        )
        return False
    _describe()
    _state.loaded = True
    return True


def _build() -> None:
    """Build if needed, then load. One process at a time: torch's own lock is a file that a killed
    build leaves behind; this lock ends with its process."""
    import fcntl

    import ninja
    from torch.utils.cpp_extension import load

    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PATH"] = os.pathsep.join((os.environ.get("PATH", os.defpath), ninja.BIN_DIR))
    with (folder / "builder").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        (folder / "lock").unlink(missing_ok=True)
        load(
            folder.name,
            [str(path) for path in sorted(FOLDER.glob("*.cpp"))],
            extra_cflags=FLAGS,
            extra_ldflags=["-fopenmp"],
            build_directory=str(folder),
            is_python_module=False,
        )


def _folder() -> Path:
    home = os.environ.get("TORCH_EXTENSIONS_DIR") or Path.home() / ".cache" / "torch_extensions"
    return Path(home) / _name()


@functools.cache
def _name() -> str:
    """One build per source, torch version and processor: several machines may share a home."""
    with Path("/proc/cpuinfo").open() as lines:
        flags = next((line for line in lines if line.startswith("flags")), "")
    texts = [path.read_text() for path in sorted(FOLDER.iterdir()) if path.suffix in (".cpp", ".h")]
    inputs = (*texts, " ".join(FLAGS), torch.__version__, flags)
    return "litdraft_" + hashlib.sha256("\0".join(inputs).encode()).hexdigest()[:12]


def _describe() -> None:
    """Tell torch.compile the shapes that the operations return."""

    @torch.library.register_fake("litdraft::read")
    def _(  # type: ignore[no-untyped-def]
        packed, shape, eps, norms, rotary, tokens, length, keys, values, taps, depth=None,
        ancestors=None,
    ):  # fmt: skip
        rows, width = tokens.shape, shape[1]
        return norms.new_empty(*rows, width), norms.new_empty(*rows, width * len(taps))

    @torch.library.register_fake("litdraft::linear")
    def _(packed, outputs, x):  # type: ignore[no-untyped-def]
        return x.new_empty(x.shape[0], outputs)

    @torch.library.register_fake("litdraft::argmax")
    def _(packed, outputs, x):  # type: ignore[no-untyped-def]
        return x.new_empty(x.shape[0], dtype=torch.long)

    @torch.library.register_fake("litdraft::lstm_draft")
    def _(  # type: ignore[no-untyped-def]
        hidden, token, embedding, scale, begin, begin_bias, gates, biases, out, outputs, head,
        choices, vocabulary, temperature, uniforms,
    ):  # fmt: skip
        rows, k = uniforms.shape
        probs = hidden.new_empty(rows, 0 if temperature == 0 else k, choices)
        return token.new_empty(rows, k), probs

    @torch.library.register_fake("litdraft::draw")
    def _(weights, uniforms):  # type: ignore[no-untyped-def]
        return weights.new_empty(weights.shape[0], dtype=torch.long)

    @torch.library.register_fake("litdraft::uniforms")
    def _(seed, row, round, count):  # type: ignore[no-untyped-def]
        return row.new_empty(row.shape[0], count, dtype=torch.double)

    @torch.library.register_fake("litdraft::last_hidden")
    def _(hidden, count, out):  # type: ignore[no-untyped-def]
        return None

    @torch.library.register_fake("litdraft::commit")
    def _(drafts, probs, valid, vocabulary, answers, uniforms, *state):  # type: ignore[no-untyped-def]
        rows, k = drafts.shape
        counts = [drafts.new_empty(rows) for _ in range(3)]
        return drafts.new_empty(rows, k + 1), *counts

    @torch.library.register_fake("litdraft::embed")
    def _(packed, width, tokens):  # type: ignore[no-untyped-def]
        return packed.new_empty(tokens.shape[0], width, dtype=torch.float32)


def round_up_to(n: int, multiple: int) -> int:
    return -(-n // multiple) * multiple


def packed(weight_OI: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix in the order in which it is read, flat, padded with zeros to whole blocks."""
    outputs, inputs = weight_OI.shape
    whole = torch.zeros(round_up_to(outputs, OUT), round_up_to(inputs, IN), dtype=dtype)
    whole[:outputs, :inputs] = weight_OI
    pair = 4 // whole.element_size()
    blocks: Tensor = whole.view(len(whole) // OUT, OUT, -1, IN // pair, pair)
    return blocks.permute(0, 2, 3, 1, 4).flatten()


def packed_size(outputs: int, inputs: int) -> int:
    return round_up_to(outputs, OUT) * round_up_to(inputs, IN)


def linear(x_nC: Tensor, weight: Tensor, outputs: int) -> Tensor:
    """A product with a packed matrix; float32 in and out."""
    y_nO: Tensor = torch.ops.litdraft.linear.default(
        weight, outputs, x_nC.reshape(-1, x_nC.shape[-1]).float()
    )
    return y_nO.view(*x_nC.shape[:-1], outputs)


def fastest_dtype() -> torch.dtype:
    """The weight type with the faster products on this processor. Measured once and stored with the
    build: all processes, and a resumed run, must choose the same."""
    stored = _folder() / "fastest"
    if not stored.exists():
        mine = stored.with_name(f"fastest.{os.getpid()}")
        mine.write_text(str(_measure_fastest()).removeprefix("torch."))
        with contextlib.suppress(FileExistsError):  # the first process decides
            os.link(mine, stored)
        mine.unlink()
    dtype: torch.dtype = getattr(torch, stored.read_text())
    return dtype


def _measure_fastest() -> torch.dtype:
    """Time both types on a matrix larger than a core's caches."""
    x, seconds = torch.randn(4, 1024), {}
    for dtype in DTYPES:
        weights = packed(torch.randn(8192, 1024), dtype)
        times = []
        for _ in range(12):
            started = time.perf_counter()
            torch.ops.litdraft.linear.default(weights, 8192, x)
            times.append(time.perf_counter() - started)
        seconds[dtype] = sorted(times)[4]
    return min(seconds, key=lambda dtype: seconds[dtype])
