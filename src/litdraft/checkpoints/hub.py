"""Checkpoints named as on the Hugging Face hub: downloaded once, then used as a folder."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from litdraft.errors import UserError

TEXTS = ("*.json", "*.model", "*.jinja")  # nothing pickled, no code
WEIGHTS = "*.safetensors"
DUPLICATES = ("consolidated*", "*/*")  # the same weights in another format


def local_path(path: str | Path, weights: bool = True) -> Path:
    """The path itself if it exists; otherwise, for OWNER/NAME, the repository's copy in the hub's
    cache, with or without its `weights`. UserError if it cannot be downloaded."""
    existing = Path(path).expanduser()
    if existing.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        return existing
    try:
        patterns = [*TEXTS, WEIGHTS] if weights else [*TEXTS]
        return Path(
            snapshot_download(str(path), allow_patterns=patterns, ignore_patterns=list(DUPLICATES))
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} does not exist here and could not be downloaded from the hub ({reason}): "
            "give a folder, or log in with `hf auth login` if the model requires it"
        ) from error
