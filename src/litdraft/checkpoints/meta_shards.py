"""Meta's consolidated.00.pth, .01.pth and so on: one file per model-parallel rank."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from litdraft.errors import UserError

SHARDS = "consolidated.*.pth"

Shards = dict[Path, dict[str, Tensor]]


def load_shards(folder: Path) -> Shards:
    """The tensors of every file in order, mapped but not read; UserError if a file is missing,
    truncated, or has anything else in it."""
    return {path: _load(path) for path in _paths(folder)}


def in_every_shard(shards: Shards, name: str) -> list[Tensor]:
    """A tensor from every shard; UserError if a shard lacks it."""
    for path, tensors in shards.items():
        if name not in tensors:
            raise UserError(f"{path} has no tensor {name}, which params.json requires")
    return [tensors[name] for tensors in shards.values()]


def _paths(folder: Path) -> list[Path]:
    """The shards, numbered from 00."""
    paths = sorted(folder.glob(SHARDS))
    if not paths:
        raise UserError(
            f"{folder} has params.json, but no consolidated.00.pth: restore the weights"
        )
    for number, path in enumerate(paths):
        if path.name != (expected := f"consolidated.{number:02}.pth"):
            raise UserError(f"{folder} has {path.name}, but no {expected}: restore all shards")
    return paths


def _load(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError:
        tensors = None  # refused by weights_only, or not a pickle
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(f"{path} is not readable as a .pth file: restore the file") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise UserError(
            f"{path} has other objects than named tensors, which are never unpickled: "
            "give a file with only weights"
        )
    return tensors
