"""The command answers at once: help, version, completion, typos and refusals need no torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import litdraft

HEAVY = ("torch", "lightning", "transformers", "matplotlib", "wandb", "numpy")
PROGRAM = f"""
import sys
for name in {HEAVY}:
    sys.modules[name] = None  # to import it is an error from now on
from litdraft.cli.main import main
main()
"""


def answer(folder: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What `litdraft WORDS` does where nothing heavy can be imported."""
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, capture_output=True, text=True,
        timeout=60, env={**os.environ, "COLUMNS": "80", **environment}, check=False,
    )  # fmt: skip


def test_help_names_both_commands(tmp_path: Path) -> None:
    for words in ([], ["--help"], ["-h"]):
        done = answer(tmp_path, *words)
        assert done.returncode == 0, done.stderr
        assert "litdraft train" in done.stdout
        assert "litdraft evaluate" in done.stdout


def test_help_of_a_command_describes_its_keys_at_80_columns(tmp_path: Path) -> None:
    done = answer(tmp_path, "train", "--help", "data=wmt14")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert max(len(line) for line in lines if "Translate" not in line) <= 80
    assert "  k=3                             draft tokens per round" in lines
    assert any(line.startswith("  data.shots=0 ") for line in lines), "of the choice given"
    assert any(line.startswith("  --config-dir DIR ") for line in lines)
    assert "decoding" not in done.stdout
    assert "decoding=speculative" in answer(tmp_path, "evaluate", "--help").stdout


def test_the_version(tmp_path: Path) -> None:
    for words in (["--version"], ["train", "--version"], ["-V"]):
        assert answer(tmp_path, *words).stdout == f"litdraft {litdraft.__version__}\n"


REFUSED = {
    "tain k=3": "there is no command tain",
    "train drafer=lstm": "did you mean drafter?",
    "train drafter=lsmt": "did you mean lstm?",
    "train k=0": "k must be at least 1",
    "train k=2,3": "add -m for a sweep",
    "train --hlep": "there is no flag --hlep",
    "train temperature=-1": "temperature=-1",
    "train dtype=float8": "choose one of auto, float32",
    "train --config-dir nowhere": "no such folder",
    "train evaluation.promts=3": "there is no key evaluation.promts: did you mean prompts?",
    "evaluate run=outputs/none": "is not the folder of a training run: train one",
    "evaluate study=nothing": "there is no study=nothing",
}


@pytest.mark.parametrize("given, sentence", REFUSED.items())
def test_a_refusal_is_one_sentence_and_leaves_nothing(
    given: str, sentence: str, tmp_path: Path
) -> None:
    done = answer(tmp_path, *given.split())
    assert done.returncode == 2, done.stderr
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_is_shown_and_nothing_run(tmp_path: Path) -> None:
    done = answer(tmp_path, "train", "--cfg", "job", "drafter=mtp", "evaluation.prompts=3")
    assert done.returncode == 0, done.stderr
    assert "_target_: litdraft.drafters.mtp.MTP" in done.stdout
    assert "evaluation:\n  prompts: 3\n" in done.stdout


COMPLETED = {
    "litdraft t": ["train "],
    "litdraft train drafter=ls": ["drafter=lstm ", "drafter=lstm_lm "],
    "litdraft train see": ["seed="],
    "litdraft train drafter=lookup drafter.": ["drafter.longest=", "drafter.shortest="],
    "litdraft evaluate decoding=s": ["decoding=speculative "],
    "litdraft train data.pack=": ["data.pack=true ", "data.pack=false "],
    "litdraft train drafter=nothing k": [],
}


@pytest.mark.parametrize("line, expected", COMPLETED.items())
def test_words_are_completed(line: str, expected: list[str], tmp_path: Path) -> None:
    done = answer(tmp_path, "-sc", "query=bash", COMP_LINE=line)
    assert [word for word in done.stdout.split("\n") if word] == expected, done.stderr


def test_a_script_of_a_clone_is_completed_by_its_own_command(tmp_path: Path) -> None:
    line = "python evaluate.py decoding=g"
    done = answer(tmp_path, "evaluate", "-sc", "query=bash", COMP_LINE=line)
    assert done.stdout.strip() == "decoding=gated"


def test_bash_completes_through_the_script(tmp_path: Path) -> None:
    """The function that -sc install=bash prints, called as bash calls it."""
    (tmp_path / "litdraft").write_text(f"#!{sys.executable}\n{PROGRAM}", encoding="utf-8")
    (tmp_path / "litdraft").chmod(0o755)
    script = answer(tmp_path, "train", "-sc", "install=bash").stdout
    line = "litdraft train drafter=mt"
    typed = f'{script}\nCOMP_WORDS=({line}); COMP_LINE="{line}"; COMP_POINT={len(line)}\n'
    done = subprocess.run(
        ["bash", "-c", f'{typed}_litdraft_complete; printf "[%s]" "${{COMPREPLY[@]}}"'],
        capture_output=True, text=True, timeout=60, check=True,
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert done.stdout == "[drafter=mtp ]", done.stderr


def test_an_own_folder_of_files_is_used(tmp_path: Path) -> None:
    folder = tmp_path / "own" / "drafter"
    folder.mkdir(parents=True)
    text = "# A wide one.\ndefaults:\n  - lstm\n  - _self_\nwidth: 512 # of the state\n"
    (folder / "wide.yaml").write_text(text, encoding="utf-8")
    own = ["--config-dir", str(tmp_path / "own"), "drafter=wide"]
    page = answer(tmp_path, "train", *own, "--help").stdout
    assert "drafter.width=512" in page
    assert "of the state" in page
    assert "A wide one." in page
    assert "width: 512" in answer(tmp_path, "evaluate", *own, "-c", "job").stdout
