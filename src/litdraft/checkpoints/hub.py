"""Checkpoints named as on the Hugging Face hub: downloaded once, then a folder like any other."""

from __future__ import annotations

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

from litdraft.errors import UserError

TEXT = ("*.json", "*.model", "*.jinja")  # nothing pickled, no code
WEIGHTS = "*.safetensors"
TWICE = ("consolidated*", "*/*")  # the same weights in another format


def local(path: str | Path, weights: bool = True) -> Path:
    """The folder or file itself; for OWNER/NAME that is no path here, a copy of the repository in
    the hub's cache, with its `weights` or without. UserError if it cannot be fetched."""
    found = Path(path).expanduser()
    if found.exists() or not re.fullmatch(r"[\w.-]+/[\w.-]+", str(path)):
        return found
    try:
        wanted = [*TEXT, WEIGHTS] if weights else [*TEXT]
        return Path(
            snapshot_download(str(path), allow_patterns=wanted, ignore_patterns=list(TWICE))
        )
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError, ValueError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"{path} is no path here and could not be had from the hub ({reason}): give a folder, "
            "or log in with `hf auth login` if the model asks for it"
        ) from error
