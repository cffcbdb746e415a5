"""What every test starts from: no network, two threads, the same seeds; the slowest files first."""

from __future__ import annotations

import os

# Before anything imports the libraries that read them.
os.environ["WANDB_MODE"] = "offline"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["GOMP_SPINCOUNT"] = "10000"  # as the entry points do

import random
import shutil
import sys
from pathlib import Path

import absl.logging
import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent

# The files that take longest: 200, 100, 30, 30, 25 and 25 seconds. A worker takes whole files, so
# one of these at the end would keep the other worker idle.
SLOWEST = (
    "sweeps/test_callback.py",
    "cli/test_jobs.py",
    "evaluation/test_run_lossy.py",
    "acceptance/test_replay.py",
    "studies/test_run.py",
    "data/test_continuations.py",
)

# One of two workers has one of the two cores.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


# absl, which rouge-score logs with, closes the stderr that existed at its import when logging is
# configured again. That would be pytest's; it does not close the interpreter's own.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slowest files first; the others keep their order."""
    rank = {str(ROOT / "tests" / name): index for index, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: rank.get(str(item.path), len(SLOWEST)))


@pytest.fixture(autouse=True)
def seeds() -> None:
    """A test's random numbers do not depend on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of trained targets and real text, outside the repository; skipped without it."""
    folder = Path(os.environ.get("LITDRAFT_SHARED") or ROOT.parent / "shared").resolve()
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder} (set LITDRAFT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random target as users have one, in a Hugging Face folder `target/` with its tokenizer; the
    same in Meta's format in `meta/`; an encoder-decoder with the same tokenizer in `t5/`; and the
    tokenizer's training text in `text/`."""
    from tests.checkpoints.meta_files import save_meta
    from tests.fakes import random_llama, random_t5

    from litdraft.checkpoints.hf_llama import save_hf_folder
    from litdraft.checkpoints.hf_t5 import save_t5_folder
    from litdraft.tokenizers.sentencepiece import train_sentencepiece

    root = tmp_path_factory.mktemp("little")
    (root / "text").mkdir()
    words = [f"{a}{b}{c}" for a in "bdfgk" for b in "aeiou" for c in "lmnrst"]
    random.seed(3)
    for name in ("one", "two"):
        lines = (" ".join(random.choices(words, k=12)) + ".\n" for _ in range(300))
        (root / "text" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")
    texts = [path.read_text(encoding="utf-8") for path in sorted((root / "text").iterdir())]
    tokenizer = train_sentencepiece(texts, 320, root / "tokenizer.model")
    model = random_llama(vocabulary=tokenizer.size, context=256)
    save_hf_folder(model, root / "target", torch.float32, 1, (2,), [root / "tokenizer.model"])
    shutil.copy(root / "tokenizer.model", save_meta(model, root / "meta", 2))
    encoding = random_t5(vocabulary=tokenizer.size)
    save_t5_folder(encoding, root / "t5", torch.float32, (2,), [root / "tokenizer.model"])
    return root
