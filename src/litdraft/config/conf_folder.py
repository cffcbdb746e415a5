"""Where the YAML files of both command lines are."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent.parent
ASSETS = PACKAGE / "assets"


def conf_folder() -> Path:
    """conf/ as the wheel ships it, inside the package; in a clone, conf/ at its root."""
    shipped = PACKAGE / "conf"
    return shipped if shipped.is_dir() else PACKAGE.parent.parent / "conf"
