"""From a checkpoint on disk, of whatever format, to a Llama in memory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from litdraft.errors import UserError
from litdraft.models.checkpoint import Checkpoint, Part
from litdraft.models.files import read_json
from litdraft.models.hf_folder import open_hf_folder, save_hf_folder
from litdraft.models.hub import local
from litdraft.models.layout import by_columns
from litdraft.models.llama import Llama
from litdraft.models.llama2c import open_llama2c
from litdraft.models.meta import is_meta, open_meta
from litdraft.models.room import check_context, check_fits

__all__ = ["Checkpoint", "Part", "load_any", "load_llama", "open_checkpoint", "save_hf_folder"]


def open_checkpoint(path: str | Path) -> Checkpoint:
    """Open a Hugging Face or Meta Llama folder or a llama2.c .bin by what the path is.

    Shapes, sizes and presence are checked here, from headers only; UserError if one is wrong.
    """
    path = local(path)
    if path.is_dir():
        return open_meta(path) if is_meta(path) else open_hf_folder(path)
    if path.suffix == ".bin" and path.is_file():
        return open_llama2c(path)
    given = "is none" if path.exists() else "does not exist"
    raise UserError(
        f"{path} {given}: give a Hugging Face folder (config.json and safetensors), "
        "a folder of Meta's (params.json and consolidated.00.pth) or a llama2.c .bin"
    )


@torch.no_grad()
def load_llama(
    checkpoint: Checkpoint,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    context: int | None = None,
) -> Llama:
    """Build a Llama and fill it part by part, so that memory holds the weights only once.

    `context` positions instead of as many as the checkpoint says. UserError unless that is one or
    more, or if the weights do not fit.
    """
    config = checkpoint.config
    if context is not None:
        check_context(context)
        config = replace(config, context=context)
    with torch.device("meta"):
        model = Llama(config)
    device, size = torch.device(device), sum(weight.numel() for weight in model.parameters())
    check_fits(checkpoint.name, dtype.itemsize * size, [device])
    model = model.to(dtype)
    if device.type == "cpu" and dtype == torch.float32:
        by_columns(model)  # before there is anything to copy
    model = model.to_empty(device=device)
    state = model.state_dict()
    for part in checkpoint.parts():
        state[part.state][part.place].copy_(part.values)
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
