"""Meta's consolidated.00.pth and what follows: one file of tensors a model-parallel rank."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch
from torch import Tensor

from litdraft.errors import UserError

SHARDS = "consolidated.*.pth"

Shards = dict[Path, dict[str, Tensor]]


def load_shards(folder: Path) -> Shards:
    """The tensors of every file in order, mapped and unread; UserError if a file is missing, cut
    short, or holds anything else."""
    return {path: _load(path) for path in _paths(folder)}


def everywhere(shards: Shards, name: str) -> list[Tensor]:
    """A tensor of every shard; UserError if one lacks it."""
    for path, tensors in shards.items():
        if name not in tensors:
            raise UserError(f"{path} holds no tensor {name}, which params.json asks for")
    return [tensors[name] for tensors in shards.values()]


def _paths(folder: Path) -> list[Path]:
    """The shards, whose numbers count from 00."""
    found = sorted(folder.glob(SHARDS))
    if not found:
        raise UserError(
            f"{folder} holds params.json, but no consolidated.00.pth: no weights are read"
        )
    for number, path in enumerate(found):
        if path.name != (expected := f"consolidated.{number:02}.pth"):
            raise UserError(f"{folder} holds {path.name}, but no {expected}: restore all shards")
    return found


def _load(path: Path) -> dict[str, Tensor]:
    try:
        tensors = torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except pickle.UnpicklingError:
        tensors = None  # what weights_only refuses, or no pickle at all
    except (OSError, RuntimeError, EOFError) as error:
        raise UserError(f"{path} is not readable as torch's .pth: restore the file") from error
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in tensors.items()
    ):
        raise UserError(
            f"{path} holds other things than named tensors, and nothing else is unpickled: "
            "give the weights alone"
        )
    return tensors
