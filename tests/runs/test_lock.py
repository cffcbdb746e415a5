"""Two trainings in one folder would write over each other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from litdraft.errors import UserError
from litdraft.runs import lock
from litdraft.runs.lock import locked

HOLDS = """
import sys, time
from pathlib import Path
from litdraft.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_one_trainings_until_it_ends_or_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.1)
    words = [sys.executable, "-c", HOLDS, str(tmp_path)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another process is training in"), locked(tmp_path):
            pass
        other.kill()
    for _ in range(2):
        with locked(tmp_path):
            pass
