"""What every test starts from: no network, two threads, the same seeds."""

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

# One of two workers has one of the two cores.
torch.set_num_threads(1 if "PYTEST_XDIST_WORKER" in os.environ else 2)


# rouge-score logs with absl, which closes the stderr that it found when it was imported, one of
# pytest's own, as soon as logging is configured anew; the interpreter's own it leaves alone.
absl.logging.get_absl_handler().python_handler.stream = sys.__stderr__


@pytest.fixture(autouse=True)
def seeds() -> None:
    """A test's random numbers do not depend on which tests ran before it."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - libraries draw from the global generator
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of trained targets and real text, outside the repository; skips without it."""
    folder = Path(os.environ.get("LITDRAFT_SHARED") or ROOT.parent / "shared").resolve()
    if not folder.is_dir():
        pytest.skip(f"no shared material at {folder} (set LITDRAFT_SHARED)")
    return folder


@pytest.fixture(scope="session")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A target as users have them: a Hugging Face folder of random weights with a tokenizer, and
    beside it `meta/`, the same as Meta would write it, `t5/`, an encoder-decoder of the same
    tokenizer, and `text/`, the words that this was trained on."""
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
