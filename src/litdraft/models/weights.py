"""From a checkpoint on disk, of whatever format, to a Llama in memory."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from litdraft.errors import UserError
from litdraft.models.checkpoint import Checkpoint, Part
from litdraft.models.files import read_json
from litdraft.models.hf_folder import open_hf_folder, save_hf_folder
from litdraft.models.hub import local
from litdraft.models.llama import Llama
from litdraft.models.llama2c import open_llama2c
from litdraft.models.room import check_fits

__all__ = ["Checkpoint", "Part", "load_any", "load_llama", "open_checkpoint", "save_hf_folder"]


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a Hugging Face Llama folder or a llama2.c .bin by what the path is.

    Shapes, sizes and presence are checked here, from headers only; UserError if one is wrong.
    """
    path = local(path)
    if path.is_dir():
        return open_hf_folder(path)
    if path.suffix == ".bin" and path.is_file():
        return open_llama2c(path)
    given = "is neither" if path.exists() else "does not exist"
    raise UserError(
        f"{path} {given}: give a Hugging Face folder (config.json and safetensors) "
        "or a llama2.c .bin"
    )


@torch.no_grad()
def load_llama(
    checkpoint: Checkpoint,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Llama:
    """Build a Llama and fill it part by part, so that memory holds the weights only once; UserError
    if they do not fit."""
    device = torch.device(device)
    with torch.device("meta"):
        model = Llama(checkpoint.config)
    check_fits(checkpoint.name, dtype.itemsize * sum(w.numel() for w in model.parameters()), device)
    model = model.to(dtype).to_empty(device=device)
    state = model.state_dict()
    for part in checkpoint.parts():
        state[part.state].narrow(0, part.first_row, len(part.values)).copy_(part.values)
    model.reset_buffers()
    return model


def load_any(path: str | Path) -> nn.Module:
    """A Llama read natively; any other causal model of a Hugging Face folder by transformers."""
    path = local(path)
    config = path / "config.json"
    if config.is_file() and read_json(config).get("model_type") != "llama":
        from litdraft.models.hf_open import open_hf  # seconds, which most runs need not wait for

        return open_hf(path, torch.device("cpu"), lambda _: torch.float32).model
    return load_llama(open_checkpoint(path))
