"""The evidence that every number carries: command, commit, versions and device."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import shlex
import subprocess
import sys
from pathlib import Path

import torch

from litdraft.reports.schema import Provenance

PACKAGES = ("litdraft", "torch", "lightning", "transformers", "hydra-core")


def command() -> str:
    """The command line as one would type it again; absolute paths become relative."""
    program = Path(sys.argv[0]).name
    words = (program, *map(_from_here, sys.argv[1:]))
    python = ("python",) if program.endswith(".py") else ()
    return " ".join((*python, *map(shlex.quote, words)))


def commit() -> str | None:
    """The commit of this code, with -dirty if files were changed; None outside a checkout."""
    here = Path(__file__).resolve().parent
    try:
        result = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=8", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip() or None


def versions() -> dict[str, str]:
    """Python's and those of installed packages; a checkout on PYTHONPATH alone has none."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def device(where: torch.device) -> str:
    """The processor's name and how many threads are used."""
    if where.type == "cuda":
        return str(torch.cuda.get_device_name(where))
    return f"{_cpu()}, {torch.get_num_threads()} threads"


def provenance(where: torch.device) -> Provenance:
    """Of this process, computing on this device."""
    return Provenance(command=command(), commit=commit(), versions=versions(), device=device(where))


def _from_here(word: str) -> str:
    """KEY=/absolute/path, or KEY=[/several,/of/them], relative to the working folder."""
    return re.sub(r"(^|[=\[,])(/[^,\]]*)", lambda found: found[1] + os.path.relpath(found[2]), word)


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
