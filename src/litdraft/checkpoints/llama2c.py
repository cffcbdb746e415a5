"""llama2.c's checkpoints, versions 0, 1 and 2: a header, then weights without names.

Version 0 begins with seven integers and version 1 with 256 bytes; both are float32. Version 2 has
norms in float32 and matrices in Q8_0: int8 in groups with one float32 scale each. The layouts are
those of export.py in github.com/karpathy/llama2.c.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from litdraft.checkpoints.base import Part
from litdraft.checkpoints.llama2c_layout import Section, scales, sections, weight
from litdraft.errors import UserError
from litdraft.networks.llama import LlamaConfig

MAGIC = b"24ka"  # "ak42" as a little-endian integer
LEGACY = struct.Struct("<7i")  # version 0: a negative vocabulary marks an untied head
HEADER = struct.Struct("<4s8iBi")  # magic, version, the same seven, tied, group size
PADDED = 256
NAMES = ("width", "inner", "layers", "heads", "kv_heads", "vocabulary", "context")


@dataclass(frozen=True)
class Llama2C:
    """An opened checkpoint. run.c ends a text at BOS or EOS, and so does LitDraft.

    `group`: how many numbers share a scale; None for float32.
    """

    path: Path
    config: LlamaConfig
    version: int = 0
    group: int | None = None
    bos: int | None = 1
    eos: tuple[int, ...] = (1, 2)

    @property
    def name(self) -> str:
        return self.path.stem

    def parts(self) -> Iterator[Part]:
        for section, layer, data_n in self.layers():
            if section.state is not None:
                values = weight(section, data_n, self.group)
                yield Part(section.state.format(layer), section.first_row, values)

    def layers(self) -> Iterator[tuple[Section, int, NDArray[np.uint8]]]:
        """Every layer of every section with its bytes, mapped from the file."""
        # Copy on write, because torch requires writable memory; nothing writes to it.
        data_n, start = np.memmap(self.path, np.uint8, mode="c"), self.start
        for section in sections(self.config, self.version):
            size = section.bytes(self.group)
            for layer in range(section.layers):
                yield section, layer, data_n[start : start + size]
                start += size

    @property
    def start(self) -> int:
        """The byte at which the weights begin."""
        return PADDED if self.version else LEGACY.size

    @property
    def size(self) -> int:
        """The size in bytes of a complete file with this header."""
        parts = sections(self.config, self.version)
        return self.start + sum(s.layers * s.bytes(self.group) for s in parts)


def open_llama2c(path: Path) -> Llama2C:
    """Read the header and check it against the file's size; UserError if they disagree."""
    try:
        with path.open("rb") as file:
            header = file.read(PADDED)
        size = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if header[:4] == MAGIC[::-1]:
        raise UserError(f"{path} is byte-swapped: export it again on a little-endian machine")
    versioned = header[:4] == MAGIC
    if len(header) < (PADDED if versioned else LEGACY.size):
        raise UserError(f"{path} has {size} bytes, fewer than llama2.c's header: it is truncated")
    opened = _versioned(path, header) if versioned else _legacy(path, header)
    if size != opened.size:
        raise UserError(
            f"{path} has {size} bytes, but its header requires {opened.size}: "
            f"it is truncated, or not a llama2.c version-{opened.version} checkpoint"
        )
    if opened.group is not None:
        _check_scales(opened)
    return opened


def _legacy(path: Path, header: bytes) -> Llama2C:
    *sizes, vocabulary, context = LEGACY.unpack_from(header)
    return Llama2C(path, _config(path, 0, (*sizes, abs(vocabulary), context), vocabulary > 0))


def _versioned(path: Path, header: bytes) -> Llama2C:
    _, version, *sizes, tied, group = HEADER.unpack_from(header)
    if version not in (1, 2):
        raise UserError(
            f"{path} is a llama2.c checkpoint of version {version}, but only versions 0, 1 and 2 "
            "are read: export it again with --version 0"
        )
    used = HEADER.size if version == 2 else HEADER.size - 4
    if tied > 1 or any(header[used:]):
        raise UserError(
            f"{path} has unknown values in its llama2.c version-{version} header: it is "
            "made for another program and may not be a plain Llama"
        )
    config = _config(path, version, tuple(sizes), bool(tied))
    if version == 1:
        return Llama2C(path, config, version)
    matrices = [section for section in sections(config, version) if section.matrix]
    if group < 1 or any(matrix.numbers % group for matrix in matrices):
        raise UserError(
            f"{path} is not a llama2.c version-2 checkpoint: its header has groups of {group} "
            "numbers, which do not divide its matrices"
        )
    return Llama2C(path, config, version, group)


def _check_scales(opened: Llama2C) -> None:
    """UserError for a file of an earlier export.py, which has the same size but all scales at its
    end."""
    section, _, data_n = next(layer for layer in opened.layers() if layer[0].matrix)
    first_n = scales(section, data_n)
    if not (np.isfinite(first_n) & (first_n >= 0)).all():
        raise UserError(
            f"{opened.path} has no scales after each matrix, where llama2.c's runq.c reads them: "
            "export it again with the current export.py"
        )


def _config(path: Path, version: int, sizes: tuple[int, ...], tied: bool) -> LlamaConfig:
    width, inner, layers, heads, kv_heads, vocabulary, context = sizes
    if min(sizes) < 1 or width % (2 * heads) or heads % kv_heads:
        values = ", ".join(f"{name} {size}" for name, size in zip(NAMES, sizes, strict=True))
        raise UserError(
            f"{path} is not a llama2.c version-{version} checkpoint: its header has {values}"
        )
    return LlamaConfig(
        vocabulary=vocabulary,
        width=width,
        layers=layers,
        heads=heads,
        kv_heads=kv_heads,
        head_width=width // heads,
        inner=inner,
        context=context,
        tied=tied,
    )
