"""Launchers and sweepers of Hydra's that are installed apart."""

from __future__ import annotations

import importlib.metadata

from hydra.core.override_parser.types import Override

from litdraft.errors import UserError

PLUGINS = {  # the distribution that a choice needs, and our extra that brings it
    "ray": ("hydra-ray-launcher", "ray"),
    "submitit_local": ("hydra-submitit-launcher", "slurm"),
    "submitit_slurm": ("hydra-submitit-launcher", "slurm"),
    "optuna": ("hydra-optuna-sweeper", "optuna"),
}


def check_plugin(override: Override) -> None:
    """UserError if a launcher or sweeper was chosen that is not installed, or if a key of Hydra's
    was given several values."""
    key, choice = override.key_or_group, override.value()
    if key.startswith("hydra") and override.is_sweep_override():
        raise UserError(
            f"{override.input_line} was given, but keys of Hydra's own hold for all jobs: give one "
            "value, and sweep over keys of train.py with KEY=A,B"
        )
    if key not in ("hydra/launcher", "hydra/sweeper") or choice not in PLUGINS:
        return
    distribution, extra = PLUGINS[str(choice)]
    try:
        importlib.metadata.distribution(distribution)
    except importlib.metadata.PackageNotFoundError:
        raise UserError(
            f"{override.input_line} needs {distribution}, which is not installed: "
            f"pip install 'litdraft[{extra}]'"
        ) from None
