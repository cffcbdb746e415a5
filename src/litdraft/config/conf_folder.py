"""Where the YAML files of the commands are, and which objects they name."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
ASSETS = PACKAGE / "assets"
TARGET = re.compile(r"^\s*_target_:\s*([\w.]+)", re.MULTILINE)


def conf_folder() -> Path:
    """conf/ as the wheel ships it, inside the package; in a clone, conf/ at its root."""
    shipped = PACKAGE / "conf"
    return shipped if shipped.is_dir() else PACKAGE.parent.parent / "conf"


def named_targets(folders: Iterable[Path] = ()) -> frozenset[str]:
    """Every _target_ in conf/ and in the user's own folders."""
    files = [path for folder in (conf_folder(), *folders) for path in folder.rglob("*.yaml")]
    return frozenset(name for path in files for name in TARGET.findall(path.read_text("utf-8")))
