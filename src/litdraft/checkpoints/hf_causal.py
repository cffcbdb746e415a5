"""Opening a causal language model of transformers, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from litdraft.checkpoints.config_keys import read_special_ids
from litdraft.checkpoints.hf_causal_check import checked_model
from litdraft.checkpoints.hf_tensors import read_headers
from litdraft.checkpoints.hub import local_path
from litdraft.checkpoints.memory_check import all_devices, check_context, check_fits
from litdraft.errors import UserError
from litdraft.networks.hf_causal import HFCausal

DTYPES = {"F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16}
CONTEXT = ("max_position_embeddings", "max_seq_len", "seq_length")  # keys of the context length


class Opened(NamedTuple):
    """A model, and the tokens that begin and end its texts."""

    model: HFCausal
    name: str
    bos: int | None
    eos: tuple[int, ...]


def open_hf(
    path: str | Path,
    device: torch.device,
    dtype_of: Callable[[torch.dtype], torch.dtype],
    context: int | None = None,
    devices: str | None = None,
) -> Opened:
    """A checked model from a folder or from the hub.

    dtype_of: from the stored type to the type to load. devices: accelerate's device map, if given.
    UserError for a model that is not causal, cannot roll back, is pickled, quantized or incomplete,
    or does not fit into memory.
    """
    folder = local_path(path)
    config, model_class = _config_of(folder)
    _, stored = read_headers(folder)
    largest = max(stored.values(), key=lambda tensor: prod(tensor.shape))
    dtype = dtype_of(DTYPES.get(largest.dtype, torch.float32))
    size = dtype.itemsize * sum(prod(tensor.shape) for tensor in stored.values())
    check_fits(folder.name, size, [device] if devices is None else all_devices())
    if context is None:
        context = _context_of(config.get_text_config(), folder)
    check_context(context)
    model = _load(model_class, folder, dtype, device, devices)
    name = folder.resolve().name if folder == Path(path).expanduser() else str(path)
    causal = checked_model(model, context, name)
    return Opened(causal, name, *read_special_ids(folder, causal.config.vocabulary))


def _context_of(config: Any, folder: Path) -> int:
    for key in CONTEXT:
        if (context := getattr(config, key, None)) is not None:
            return int(context)
    raise UserError(f"{folder}/config.json has no context length: give target.context=N tokens")


def _config_of(folder: Path) -> tuple[Any, Any]:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} has no config.json: give a Hugging Face folder or OWNER/NAME")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder}/config.json is not supported by transformers ({reason})"
        ) from error
    model_class = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    model_class = model_class[0] if isinstance(model_class, tuple) else model_class
    _check_supported(folder, config, model_class)
    return config, model_class


def _check_supported(folder: Path, config: Any, model_class: Any) -> None:
    if config.is_encoder_decoder:
        raise UserError(
            f"{folder} is a {config.model_type} model: of encoder-decoders only T5, FLAN-T5 and "
            "mT5 are supported, by target=seq2seq or drafter=pretrained"
        )
    if model_class is None:
        raise UserError(
            f"{folder} is a {config.model_type} model, for which transformers has no causal "
            "language model: give a model that continues text"
        )
    if model_class._is_stateful:
        raise UserError(
            f"{folder} is a {config.model_type} model ({model_class.__name__}) with a recurrent "
            "state, which cannot roll back rejected tokens: it cannot be a target"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(f"{folder} is quantized, which is not supported: give the original weights")


def _load(
    model_class: Any, folder: Path, dtype: torch.dtype, device: torch.device, devices: str | None
) -> Any:
    device_map: Any = devices
    if devices is None and device.type != "cpu" and find_spec("accelerate"):
        device_map = {"": device}  # directly; without accelerate through the CPU
    try:
        with _quiet():
            model, info = model_class.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                attn_implementation="eager",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # reported below
                device_map=device_map,
            )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder} cannot be loaded as {model_class.__name__} ({reason})"
        ) from error
    wrong = sorted(info["missing_keys"]) + sorted(name for name, *_ in info["mismatched_keys"])
    if wrong:
        raise UserError(
            f"{folder} lacks {wrong[0]}, which {model_class.__name__} requires, or has it with "
            "another shape: restore the weights"
        )
    if any(weight.is_meta for weight in model.parameters()):
        raise UserError(
            f"{folder} does not fit into the memory of all devices, and LitDraft does not decode "
            "with weights on disk: give a smaller dtype"
        )
    return (model if device_map else model.to(device)).eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Without transformers' progress bar, and without its warnings, which are errors here."""
    verbosity = logging.get_verbosity()
    shown = logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shown:
            logging.enable_progress_bar()
