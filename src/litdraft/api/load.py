"""Targets and trained drafters from disk or the hub, ready to decode."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from litdraft.checkpoints.hf_t5_config import is_t5
from litdraft.checkpoints.hub import local_path
from litdraft.checkpoints.meta import is_meta
from litdraft.config.conf_folder import ASSETS
from litdraft.errors import UserError
from litdraft.io import read_json
from litdraft.protocols import Drafter
from litdraft.quiet import silence_libraries
from litdraft.runs.open import prepared, trained_drafter
from litdraft.targets.devices import named_dtype, own_device
from litdraft.targets.frozen import Frozen
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import check_tokenizer, open_tokenizer

EMBEDDED = "tiny"
NATIVE_LLAMAS = ("llama",)  # of a config.json's model_type


def load_target(
    path: str | Path,
    dtype: str | torch.dtype | None = None,
    device: str | torch.device | None = None,
    *,
    tokenizer: str | Path | None = None,
    native: bool = True,
) -> Frozen:
    """A frozen target with its tokenizer, prepared for fast decoding.

    path: "tiny", the embedded target; a Hugging Face folder or OWNER/NAME on the hub of a Llama, a
    T5 or any other causal model; a Meta folder; a llama2.c .bin, which needs `tokenizer`.
    dtype: as stored, if that is fast on this processor. device: a GPU if there is one. native:
    decode on a CPU by native operations, if they can be built; a target to train with must have
    native=False (`litdraft.train` takes care of that).

    UserError if there is no such checkpoint, or if target and tokenizer do not go together.
    """
    checkpoint = ASSETS / EMBEDDED if str(path) == EMBEDDED else local_path(path)
    chosen = named_dtype(dtype) if isinstance(dtype, str) else dtype
    target = open_checkpoint_as_target(
        checkpoint, chosen, torch.device(device) if device is not None else own_device(), native
    )
    target.tokenizer = _tokenizer(target, tokenizer or checkpoint)
    return target


def open_checkpoint_as_target(
    path: Path, dtype: torch.dtype | None, device: torch.device, native: bool
) -> Frozen:
    """The target of a checkpoint, whatever its format, without a tokenizer."""
    silence_libraries()
    target: Frozen = _kind(path).open(path, dtype, device, native)
    target.source = path
    return target


def _kind(path: Path) -> type[Any]:
    """Which kind of target a checkpoint is; transformers is imported only if it needs that."""
    if not path.is_dir() or is_meta(path) or not (path / "config.json").is_file():
        return LlamaTarget  # which says what is wrong if it is none
    if str(read_json(path / "config.json").get("model_type")) in NATIVE_LLAMAS:
        return LlamaTarget
    if is_t5(path):
        from litdraft.targets.seq2seq import Seq2SeqTarget

        return Seq2SeqTarget
    from litdraft.targets.hf_causal import HFCausalTarget

    return HFCausalTarget


def _tokenizer(target: Frozen, path: str | Path) -> Tokenizer:
    tokenizer = open_tokenizer(path)
    check_tokenizer(tokenizer, target.spec.vocabulary)
    return tokenizer


def load_drafter(run: str | Path, target: Frozen) -> Drafter:
    """The trained drafter of a run folder, bound to the target and prepared for fast decoding.

    UserError if the folder holds no trained drafter, or one of another shape than the target's.
    """
    if target.tokenizer is None:
        raise UserError("the target has no tokenizer: open it with litdraft.load_target")
    return prepared(trained_drafter(Path(run), target.spec, target.tokenizer), target)
