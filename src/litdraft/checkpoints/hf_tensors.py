"""Hugging Face folders of any model: config.json beside one or several safetensors."""

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


class Place(NamedTuple):
    """Where one tensor of a folder stands in a network's state, where several are fused to one."""

    name: str
    state: str
    first_row: int
    shape: tuple[int, ...]


class Stored(NamedTuple):
    """What a safetensors header says of one tensor."""

    path: Path
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class HFFolder(Generic[Config]):
    """An opened folder; `files` says which file holds each place."""

    name: str
    config: Config
    bos: int | None
    eos: tuple[int, ...]
    files: dict[Place, Path]

    def parts(self) -> Iterator[Part]:
        with ExitStack() as stack:
            opened = {
                path: stack.enter_context(safe_open(path, framework="pt"))
                for path in set(self.files.values())
            }
            for place, path in self.files.items():
                yield Part(place.state, place.first_row, opened[path].get_tensor(place.name))


def read_headers(folder: Path) -> tuple[Path, dict[str, Stored]]:
    """Where a folder says what weights it has, and the headers of all of them."""
    source = next((p for p in (folder / WEIGHTS, folder / INDEX) if p.exists()), None)
    if source is None:
        raise UserError(f"{folder} holds neither {WEIGHTS} nor {INDEX}: no other weights are read")
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
        raise UserError(f"{index} names {outside[0]!r}, which is not a file of the same folder")
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


def found_in(place: Place, stored: Mapping[str, Stored], source: Path) -> Path:
    """Which file has a tensor; UserError if none has it in its shape, and not quantized."""
    found = stored.get(place.name)
    if found is None:
        raise UserError(f"{source} holds no tensor {place.name}, which its config.json asks for")
    if found.shape != place.shape:
        raise UserError(
            f"{found.path}: {place.name} has shape {list(found.shape)}, "
            f"but config.json asks for {list(place.shape)}"
        )
    if found.dtype not in FLOATS:
        raise UserError(
            f"{found.path}: {place.name} is stored as {found.dtype}, "
            f"but only {', '.join(sorted(FLOATS))} are read: give weights that are not quantized"
        )
    return found.path


def same_tensor(stored: Mapping[str, Stored], one: str, other: str) -> bool:
    """Whether a folder has two tensors equal, or lacks one of them.

    Where config.json says tied and they differ, transformers believes the tensors; so do we.
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
    """Write a folder with copies of extra_files.

    config.json comes last: a folder that has one is whole.
    """
    folder, extras = Path(folder), [Path(extra) for extra in extra_files]
    if missing := [extra for extra in extras if not extra.is_file()]:
        raise UserError(f"{missing[0]} is no file, but was to be copied into {folder}")
    with replacing(folder / WEIGHTS) as path:
        save_file(tensors, path, metadata={"format": "pt"})
        path.chmod(0o644)  # the library writes for the owner alone
    for extra in extras:
        with replacing(folder / extra.name) as path:
            shutil.copyfile(extra, path)
    write_json(folder / "config.json", config)


def placed(
    state: Mapping[str, Tensor], places: Iterable[Place], dtype: torch.dtype
) -> dict[str, Tensor]:
    """A network's state as a folder's tensors."""
    return {
        name: state[entry][first_row : first_row + shape[0]].to("cpu", dtype).contiguous()
        for name, entry, first_row, shape in places
    }
