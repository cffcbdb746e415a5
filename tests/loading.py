"""How much memory opening a target takes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

OPENING = """
import importlib, sys, threading, time
from pathlib import Path

def anonymous():  # what is not a file's
    return 1024 * int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0])

module, _, kind = sys.argv[1].rpartition(".")
target_of = getattr(importlib.import_module(f"litdraft.targets.{module}"), kind).open
target_of(sys.argv[3])  # what is set up on first use
before, held, done = anonymous(), [], threading.Event()

def watch():
    while not done.wait(0.002):
        held.append(anonymous())

watcher = threading.Thread(target=watch)
watcher.start()
target = target_of(sys.argv[2])
done.set()
watcher.join()
weights = sum(w.numel() * w.element_size() for w in target.model.parameters())
print((max(held) - before) / weights)
"""


def held_while_opening(kind: str, large: Path, small: Path) -> float:
    """The most that a process of its own holds while it opens a checkpoint, beyond what it held
    after a small one, as a share of the weights in memory."""
    if not Path("/proc/self/status").exists():
        pytest.skip("needs Linux")
    words = [sys.executable, "-c", OPENING, kind, str(large), str(small)]
    return float(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
