"""Hugging Face folders of any model: config.json and one or several safetensors files."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from litdraft.checkpoints.base import Part
from litdraft.errors import UserError
from litdraft.io import read_json, replacing, write_json

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})

Config = TypeVar("Config")


class StateSlice(NamedTuple):
    """Which rows of a network's state one tensor of a folder fills; several are fused into one
    entry."""

    name: str
    state: str
    first_row: int
    shape: tuple[int, ...]


class Stored(NamedTuple):
    """One tensor in a safetensors header."""

    path: Path
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class HFFolder(Generic[Config]):
    """An opened folder; `files`: the file of each tensor."""

    name: str
    config: Config
    bos: int | None
    eos: tuple[int, ...]
    files: dict[StateSlice, Path]

    def parts(self) -> Iterator[Part]:
        with ExitStack() as stack:
            opened = {
                path: stack.enter_context(safe_open(path, framework="pt"))
                for path in set(self.files.values())
            }
            for slice_, path in self.files.items():
                yield Part(slice_.state, slice_.first_row, opened[path].get_tensor(slice_.name))


def read_headers(folder: Path) -> tuple[Path, dict[str, Stored]]:
    """The file that lists a folder's weights, and the headers of all of them."""
    source = next((p for p in (folder / WEIGHTS, folder / INDEX) if p.exists()), None)
    if source is None:
        raise UserError(
            f"{folder} has neither {WEIGHTS} nor {INDEX}: give a folder with safetensors weights"
        )
    stored = {}
    for path in [source] if source.name == WEIGHTS else _shards(source):
        stored.update(_header(path))
    return source, stored


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise UserError(f"{index} has no weight_map from tensors to files: restore the file")
    outside = sorted(name for name in names.values() if Path(name).name != name)
    if outside:
        raise UserError(f"{index} names {outside[0]!r}, which is not a file in the same folder")
    return [index.parent / name for name in sorted(set(names.values()))]


def _header(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Stored(path, tuple(part.get_shape()), part.get_dtype())
                for name, part in slices.items()
            }
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is not readable as safetensors ({error}): restore it") from error


def locate(slice_: StateSlice, stored: Mapping[str, Stored], source: Path) -> Path:
    """The file that has a tensor; UserError if none has it with this shape, unquantized."""
    tensor = stored.get(slice_.name)
    if tensor is None:
        raise UserError(f"{source} has no tensor {slice_.name}, which its config.json requires")
    if tensor.shape != slice_.shape:
        raise UserError(
            f"{tensor.path}: {slice_.name} has shape {list(tensor.shape)}, "
            f"but config.json requires {list(slice_.shape)}"
        )
    if tensor.dtype not in FLOATS:
        raise UserError(
            f"{tensor.path}: {slice_.name} is stored as {tensor.dtype}, "
            f"but only {', '.join(sorted(FLOATS))} are read: give weights that are not quantized"
        )
    return tensor.path


def same_tensor(stored: Mapping[str, Stored], one: str, other: str) -> bool:
    """Whether two tensors of a folder are equal, or one is missing.

    If config.json says tied and they differ, transformers trusts the tensors; so does LitDraft.
    """
    if not {one, other} <= stored.keys():
        return True
    if stored[one][1:] != stored[other][1:]:
        return False
    with (
        safe_open(stored[one].path, framework="pt") as first,
        safe_open(stored[other].path, framework="pt") as second,
    ):
        return torch.equal(first.get_tensor(one), second.get_tensor(other))


def write_folder(
    folder: str | Path,
    tensors: dict[str, Tensor],
    config: dict[str, Any],
    extra_files: Iterable[str | Path] = (),
) -> None:
    """Write a folder, with copies of extra_files. config.json is written last, so a folder that has
    one is complete."""
    folder, extras = Path(folder), [Path(extra) for extra in extra_files]
    if missing := [extra for extra in extras if not extra.is_file()]:
        raise UserError(f"{missing[0]} should be copied into {folder}, but is not a file")
    with replacing(folder / WEIGHTS) as path:
        save_file(tensors, path, metadata={"format": "pt"})
        path.chmod(0o644)  # the library makes it readable for the owner only
    for extra in extras:
        with replacing(folder / extra.name) as path:
            shutil.copyfile(extra, path)
    write_json(folder / "config.json", config)


def export_tensors(
    state: Mapping[str, Tensor], slices: Iterable[StateSlice], dtype: torch.dtype
) -> dict[str, Tensor]:
    """A network's state as the tensors of a folder."""
    return {
        name: state[entry][first_row : first_row + shape[0]].to("cpu", dtype).contiguous()
        for name, entry, first_row, shape in slices
    }
