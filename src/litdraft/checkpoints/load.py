"""From a checkpoint on disk, in any format, to a network in memory, and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeVar

import torch
from torch import nn

from litdraft.checkpoints.base import Checkpoint, Part
from litdraft.checkpoints.hf_llama import open_hf_folder, save_hf_folder
from litdraft.checkpoints.hf_t5 import open_t5_folder, save_t5_folder
from litdraft.checkpoints.hf_t5_config import is_t5
from litdraft.checkpoints.hf_tensors import HFFolder
from litdraft.checkpoints.hub import local_path
from litdraft.checkpoints.llama2c import open_llama2c
from litdraft.checkpoints.memory_check import check_context, check_fits
from litdraft.checkpoints.meta import is_meta, open_meta
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.networks.llama import Llama
from litdraft.networks.memory_format import by_columns
from litdraft.networks.t5 import T5
from litdraft.networks.t5_blocks import T5Config

__all__ = ["Checkpoint", "Part", "load_llama", "load_network", "open_checkpoint", "save_hf_folder"]

Network = TypeVar("Network", Llama, T5)


class WeightSource(Protocol):
    """Weights of any network on disk."""

    @property
    def name(self) -> str: ...

    def parts(self) -> Iterator[Part]: ...


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a Hugging Face or Meta folder of a Llama, or a llama2.c .bin file.

    Only headers are read; UserError if a tensor is missing or has a wrong shape or size.
    """
    path = local_path(path)
    if path.is_dir():
        return open_meta(path) if is_meta(path) else open_hf_folder(path)
    if path.suffix == ".bin" and path.is_file():
        return open_llama2c(path)
    problem = "is not a checkpoint" if path.exists() else "does not exist"
    raise UserError(
        f"{path} {problem}: give a Hugging Face folder (config.json and safetensors), "
        "a Meta folder (params.json and consolidated.00.pth) or a llama2.c .bin"
    )


def load_llama(
    checkpoint: Checkpoint,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    context: int | None = None,
) -> Llama:
    """A Llama; `context` replaces the checkpoint's number of positions. UserError if it is not
    positive, or if the weights do not fit into memory."""
    config = checkpoint.config
    if context is not None:
        check_context(context)
        config = replace(config, context=context)
    return _filled(lambda: Llama(config), checkpoint, dtype, torch.device(device))


def load_t5(
    folder: HFFolder[T5Config],
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    limit: int | None = None,
) -> T5:
    """A T5; `limit` replaces the folder's number of source and decoded tokens. UserError if it is
    not positive, or if the weights do not fit into memory."""
    config = folder.config
    if limit is not None:
        check_context(limit)
        config = replace(config, limit=limit)
    return _filled(lambda: T5(config), folder, dtype, torch.device(device))


@torch.no_grad()
def _filled(
    network: Callable[[], Network], source: WeightSource, dtype: torch.dtype, device: torch.device
) -> Network:
    """Fill a network part by part, so that the weights are in memory only once."""
    with torch.device("meta"):
        model = network()
    size = sum(weight.numel() for weight in model.parameters())
    check_fits(source.name, dtype.itemsize * size, [device])
    model = model.to(dtype)
    if device.type == "cpu" and dtype == torch.float32:
        by_columns(model)  # before there are values to copy
    model = model.to_empty(device=device)
    state = model.state_dict()
    for part in source.parts():
        state[part.state][part.where].copy_(part.values)
    model.reset_buffers()
    return model


def load_network(path: str | Path) -> nn.Module:
    """A native Llama or T5, or any other causal model in a Hugging Face folder through
    transformers."""
    path = local_path(path)
    if is_t5(path):
        return load_t5(open_t5_folder(path))
    config = path / "config.json"
    if config.is_file() and read_json(config).get("model_type") != "llama":
        from litdraft.checkpoints.hf_causal import (
            open_hf,  # seconds, which most runs need not wait for
        )

        return open_hf(path, torch.device("cpu"), lambda _: torch.float32).model
    return load_llama(open_checkpoint(path))


def save_language_model(
    model: Llama | T5,
    folder: str | Path,
    bos: int | None,
    eos: tuple[int, ...],
    extra_files: Iterable[str | Path] = (),
) -> None:
    """Write a folder that transformers loads, in bfloat16, with copies of extra_files."""
    if isinstance(model, T5):
        save_t5_folder(model, folder, torch.bfloat16, eos, extra_files)
    else:
        save_hf_folder(model, folder, torch.bfloat16, bos, eos, extra_files)
