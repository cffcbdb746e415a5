"""The notebook ships with outputs, runs anew, and uses the public API alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

import litdraft

ROOT = Path(__file__).resolve().parent.parent
PATH = ROOT / "notebooks" / "quickstart.ipynb"


def printed(notebook: Any) -> str:
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", ())]
    return "".join(o.get("text", "") for o in outputs)


def test_it_ships_with_its_outputs() -> None:
    notebook = nbformat.read(PATH, as_version=4)
    assert "tokens per round" in printed(notebook)
    assert str(ROOT) not in PATH.read_text(encoding="utf-8")


def test_it_uses_the_public_api_alone() -> None:
    cells = nbformat.read(PATH, as_version=4).cells
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    assert "from litdraft" not in code
    used = {part.split("(")[0].split(".")[0].split(",")[0] for part in code.split("litdraft.")[1:]}
    assert used <= set(litdraft.__all__), used - set(litdraft.__all__)


def test_every_cell_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    notebook = nbformat.read(PATH, as_version=4)
    NotebookClient(notebook, timeout=240, resources={"metadata": {"path": PATH.parent}}).execute()
    assert "0 mismatches" in printed(notebook)
