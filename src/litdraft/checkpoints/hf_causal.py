"""Opening a transformers causal model: what is refused, and a trial of how it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
from transformers.utils import logging

from litdraft.checkpoints.hf_config import read_ends
from litdraft.checkpoints.hf_tensors import read_headers
from litdraft.checkpoints.hub import local
from litdraft.checkpoints.memory_check import all_devices, check_context, check_fits
from litdraft.errors import UserError
from litdraft.networks.hf_causal import HFCausal

# By how much a cached reading may miss the plain one, as a share of the largest logit. A wrong mask
# or position misses by the logits' own size; half precision by a few hundredths.
TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3}
ROUGH = 0.1
DTYPES = {"F64": torch.float64, "F16": torch.float16, "BF16": torch.bfloat16}
CONTEXT = ("max_position_embeddings", "max_seq_len", "seq_length")  # where a config tells it
SPAN, SHORT = 16, 5  # tokens of the trial, and by how many its second row lags behind
ROOM = 1024  # slots of its cache: what counts positions from a cache's end is found out


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
    """A folder's model, or one of the hub's, tried.

    dtype_of says in which type to load what is stored in another; devices, where given, how
    accelerate places it. UserError for what is no causal model, cannot roll back, is pickled,
    quantized by others, incomplete, or does not fit.
    """
    folder = local(path)
    config, kind = _config_of(folder)
    _, stored = read_headers(folder)
    text, largest = config.get_text_config(), max(stored.values(), key=lambda s: prod(s.shape))
    dtype = dtype_of(DTYPES.get(largest.dtype, torch.float32))
    size = dtype.itemsize * sum(prod(part.shape) for part in stored.values())
    check_fits(folder.name, size, [device] if devices is None else all_devices())
    if context is None:
        context = next((getattr(text, n) for n in CONTEXT if hasattr(text, n)), None)
    if context is None:
        raise UserError(f"{folder}/config.json names no context: give target.context=N tokens")
    check_context(context)
    model = _load(kind, folder, dtype, device, devices)
    name = folder.resolve().name if folder == Path(path).expanduser() else str(path)
    causal = proven(model, context, name)
    return Opened(causal, name, *read_ends(folder, causal.config.vocabulary))


def _config_of(folder: Path) -> tuple[Any, Any]:
    if not (folder / "config.json").is_file():
        raise UserError(f"{folder} holds no config.json: give a Hugging Face folder or OWNER/NAME")
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
    except (ValueError, OSError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{folder}/config.json is none that transformers reads ({reason})"
        ) from error
    kind = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    kind = kind[0] if isinstance(kind, tuple) else kind
    if config.is_encoder_decoder:
        raise UserError(
            f"{folder} is a {config.model_type} model: of encoder-decoders only T5, FLAN-T5 and "
            "mT5 are read, by target=seq2seq or drafter=pretrained"
        )
    if kind is None:
        raise UserError(
            f"{folder} is a {config.model_type} model, which is no causal language model of "
            "transformers: give one that continues text"
        )
    if kind._is_stateful:
        raise UserError(
            f"{folder} is a {config.model_type} model ({kind.__name__}), which keeps a recurrent "
            "state: that cannot roll back what verification rejects, so it is no target"
        )
    if getattr(config, "quantization_config", None) is not None:
        raise UserError(
            f"{folder} is quantized, which is not read: give the weights it was made of"
        )
    return config, kind


def _load(
    kind: Any, folder: Path, dtype: torch.dtype, device: torch.device, devices: str | None
) -> Any:
    place: Any = devices
    if devices is None and device.type != "cpu" and find_spec("accelerate"):
        place = {"": device}  # at once; without accelerate by way of the CPU
    try:
        with _quiet():
            model, told = kind.from_pretrained(
                folder,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                attn_implementation="eager",
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # told below, in a sentence
                device_map=place,
            )
    except (OSError, ValueError, RuntimeError, ImportError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"{folder} cannot be loaded as {kind.__name__} ({reason})") from error
    wrong = sorted(told["missing_keys"]) + sorted(name for name, *_ in told["mismatched_keys"])
    if wrong:
        raise UserError(
            f"{folder} lacks {wrong[0]} as {kind.__name__} asks for it, or has it in another "
            "shape: restore the weights"
        )
    if any(weight.is_meta for weight in model.parameters()):
        raise UserError(
            f"{folder} does not fit into the memory of all devices, and what lies on disk cannot "
            "be decoded with: give a smaller dtype"
        )
    return (model if place else model.to(device)).eval()


@contextmanager
def _quiet() -> Iterator[None]:
    """Transformers would draw a bar and warn of what is told in a sentence here."""
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


@torch.inference_mode()
def proven(model: Any, context: int, name: str) -> HFCausal:
    """The model behind LitDraft's cache, after it has read two texts of unlike length in three
    passes, one of which is rolled back, as transformers reads them in one. UserError if it has not:
    architectures are not listed anywhere, they are tried."""
    failed = f"{name} is a {model.config.model_type} model ({type(model).__name__}), which "
    try:
        vocabulary = model.get_input_embeddings().weight.shape[0]
        tokens_BT = (torch.arange(2 * SPAN, device=model.device).view(2, -1) * 7 + 3) % vocabulary
        wanted_BTV = model(tokens_BT, use_cache=False).logits
        causal = HFCausal(model, context)
        said_BTV = _said(causal, tokens_BT)
        causal.forward(tokens_BT, taps=tuple(range(causal.config.layers + 1)))
    except Exception as error:  # of code that nobody here has read
        raise UserError(
            f"{failed}cannot be read through LitDraft's cache ({type(error).__name__}: {error})"
        ) from error
    apart, tolerance = _apart(said_BTV, wanted_BTV[:, SHORT:]), TOLERANCE.get(causal.dtype, ROUGH)
    if not apart < tolerance:
        raise UserError(
            f"{failed}reads otherwise through a cache of rows that roll back than without one (its "
            f"logits differ by {apart:.0%} of the largest): it is no target"
        )
    start_BT = SHORT * (torch.arange(SPAN, device=model.device) >= SHORT).expand_as(tokens_BT)
    packed_BTD = causal.forward(tokens_BT, start_BP=start_BT)[0]
    alone_BTD = causal.forward(tokens_BT[:, SHORT:])[0]
    causal.packs = _apart(packed_BTD[:, SHORT:], alone_BTD) < tolerance
    return causal


def _apart(x: Tensor, y: Tensor) -> float:
    """The largest difference, as a share of the largest value."""
    return float((x - y).abs().max() / y.abs().max())


def _said(causal: HFCausal, tokens_BT: Tensor) -> Tensor:
    """Logits behind the first SHORT tokens, the second row read SHORT behind the first."""
    cache = causal.allocate(2, max(min(ROOM, causal.config.context), 2 * SPAN))
    ahead_B = torch.tensor([2 * SHORT, SHORT], device=tokens_BT.device)
    first_BPD = causal.forward(tokens_BT[:, : 2 * SHORT], cache)[0]
    cache.keep(ahead_B)
    causal.forward(tokens_BT.flip(1)[:, :3], cache)  # drafts that are all rejected
    steps_P = torch.arange(SPAN - 2 * SHORT, device=tokens_BT.device)
    more_BPD = causal.forward(tokens_BT.gather(1, ahead_B[:, None] + steps_P), cache)[0]
    cache.keep(torch.full_like(ahead_B, len(steps_P)))
    rest_1PD = causal.forward(tokens_BT[:, -SHORT:], cache)[0][1:]
    one_1PD = torch.cat((first_BPD[:1, SHORT:], more_BPD[:1]), 1)
    other_1PD = torch.cat((more_BPD[1:], rest_1PD), 1)
    return causal.unembed(torch.cat((one_1PD, other_1PD)))
