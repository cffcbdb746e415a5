"""The evidence holds how to repeat a run, and nothing about whose machine it was."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from litdraft.reports import provenance


def test_the_command_is_as_typed_without_absolute_paths(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    here = tmp_path / "here"
    words = [f"run={here}/outputs/one", f"data.path={tmp_path}/texts", f"{here}", "k=3", "a=b c"]
    monkeypatch.setattr(sys, "argv", ["/somewhere/evaluate.py", *words])
    found = provenance.command()
    assert found == "python evaluate.py run=outputs/one data.path=../texts . k=3 'a=b c'"
    several = [f"data.path=[{tmp_path}/a.txt,{here}/b,c/d.txt]", "+key={a:1,b:2}"]
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *several])
    found = provenance.command()
    assert found == "python evaluate.py 'data.path=[../a.txt,b,c/d.txt]' '+key={a:1,b:2}'"


def test_the_commit_is_this_checkouts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Wherever the command runs; None without git."""
    folder = Path(provenance.__file__).parent
    asked = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, check=False
    )
    monkeypatch.chdir(tmp_path)
    found = provenance.commit()
    if asked.returncode:
        assert found is None
    else:
        assert found is not None
        assert asked.stdout.startswith(found.removesuffix("-dirty"))
    monkeypatch.setenv("PATH", str(tmp_path))
    assert provenance.commit() is None


def test_what_is_not_installed_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkout that is only on the path must not fail when all is measured."""
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    assert provenance.versions() == {
        "python": platform.python_version(),
        "torch": importlib.metadata.version("torch"),
    }


def test_the_device_is_named_and_the_host_is_not() -> None:
    found = provenance.provenance(torch.device("cpu"))
    assert found.device.endswith(f", {torch.get_num_threads()} threads")
    node = platform.node()
    assert not node or node not in found.device
