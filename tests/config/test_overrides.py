"""Every choice under conf/ composes and builds; a mistake is answered before any work."""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf
from tests.foreign import saved

from litdraft.cli.compose import compose as compose_command
from litdraft.config.build import (
    drafter_of,
    target_opener,
    teacher_of,
    tokenizer_of,
)
from litdraft.config.checks import checked
from litdraft.config.data import source_of
from litdraft.config.groups import build, maker
from litdraft.config.resolvers import register
from litdraft.config.training import training_options, training_parts
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec
from litdraft.tokenizers.sentencepiece import train_sentencepiece
from litdraft.training.run import train

ROOT = Path(__file__).resolve().parents[2]
CONF = ROOT / "conf"
SPEC = TargetSpec("some", 320, 16, 2, 256, 1, (2,))


@pytest.fixture(autouse=True)
def hydra() -> Iterator[None]:
    register()
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        yield
    GlobalHydra.instance().clear()


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


BY_PATH = (
    "hf_causal", "llama2_7b", "llama31_8b", "llama32_1b", "llama32_3b", "smollm2", "qwen3",
    "mistral_7b", "gemma3",
)  # fmt: skip


def needed(group: str, name: str, little: Path) -> list[str]:
    """Values for what a file leaves open."""
    target, text, t5 = little / "target", little / "text", little / "t5"
    return {
        **{("target", some): [f"target.path={t5}"] for some in ("seq2seq", "flan_t5_xl")},
        ("target", "llama"): [f"target.path={target}"],
        **{("target", some): [f"target.path={target}"] for some in BY_PATH},
        ("target", "llama2c"): [f"target.path={target}", f"target.tokenizer={target}"],
        ("experiment", "llama2c"): [
            f"target.path={target}",
            f"target.tokenizer={target}",
            f"drafter.path={target}",
        ],
        ("target", "meta"): [f"target.path={little / 'meta'}", "target.context=256"],
        **{
            ("drafter", some): [f"drafter.path={target}"]
            for some in ("pretrained", "t5_small_checkpoint")
        },
        ("data", "text"): [f"data.path={text}"],
        ("data", "mixture"): [f"data.parts.stories.path={text}"],
        ("data", "books"): [f"data.path={text}"],
        ("data", "restoration"): [f"data.path={text}"],
        ("data", "jsonl"): [f"data.path={text}"],
        ("data", "spec_bench"): [f"data.path={text}"],
        ("experiment", "tiny_target"): [f"data.path={text}"],
        ("experiment", "small_t5"): [f"data.parts.restoration.path={text}"],
        ("experiment", "gpt_k_lstm"): [f"target.path={target}", "drafter.width=16"],
        ("experiment", "gpt_k_matrix"): [f"target.path={target}"],
    }.get((group, name), [])


@pytest.mark.parametrize("name", names("target"))
def test_every_target_builds(name: str, little: Path) -> None:
    config = compose("train", [f"target={name}", *needed("target", name, little)])
    opener = target_opener(config, torch.float32)
    assert opener is not None
    target = opener(torch.device("cpu"))
    assert opener(torch.device("cpu")) is target, "opened once"
    assert tokenizer_of(config, target, Path()).size <= target.spec.vocabulary


def test_a_target_that_cannot_read_packed_rows_says_so_first(tmp_path: Path) -> None:
    """Before it writes any text."""
    words = [f"target.path={saved(tmp_path / 'bloom', 'bloom')}", "target.context=128"]
    config = compose("train", ["target=hf_causal", *words, "data.pack=true"])
    with pytest.raises(UserError, match=r"bloom cannot read packed rows: give data\.pack=false"):
        train(training_parts(config), training_options(config), tmp_path / "run")


@pytest.mark.parametrize("name", names("drafter"))
def test_every_drafter_builds(name: str, little: Path) -> None:
    arguments = [f"target.path={little / 'target'}", *needed("drafter", name, little)]
    config = compose("train", [f"drafter={name}", "target=llama", *arguments])
    opener = target_opener(config, torch.float32)
    assert opener is not None
    target = opener(torch.device("cpu"))
    assert drafter_of(config, target.spec, tokenizer_of(config, target, Path()))


@pytest.mark.parametrize("name", names("data"))
def test_every_source_builds(name: str, little: Path) -> None:
    assert source_of(compose("train", [f"data={name}", *needed("data", name, little)]))


def test_a_tokenizer_is_trained_on_the_parts_that_have_a_text(little: Path, tmp_path: Path) -> None:
    words = ["tokenizer_pieces=320", "data.parts.stories.path=" + str(little / "text")]
    mixture = compose("train", ["data=mixture", *words])
    mixture.data.parts.update(wmt14=None, cnn_dailymail=None)
    assert tokenizer_of(mixture, None, tmp_path).size == 320
    lines = compose("train", ["data=jsonl", words[0], f"data.path={little / 'text'}"])
    with pytest.raises(UserError, match="target=null needs a text to learn from: choose data=text"):
        tokenizer_of(lines, None, tmp_path / "other")


@pytest.mark.parametrize("name", names("teacher"))
def test_every_teacher_builds(name: str) -> None:
    assert teacher_of(compose("train", [f"teacher={name}"])).cached == (name != "online")


@pytest.mark.parametrize("group", ["objective", "optimizer", "schedule", "trainer"])
@pytest.mark.filterwarnings("ignore:.*tensorboardX.*")
def test_every_other_choice_builds(group: str) -> None:
    for name in names(group):
        made = maker(compose("train", [f"{group}={name}"])[group])
        if group == "optimizer":
            assert made([torch.nn.Parameter(torch.zeros(2))])
        elif group == "schedule":
            assert made(10, 100) > 0
        else:
            assert made()


@pytest.mark.parametrize("name", names("logger"))
def test_every_logger_builds(name: str, tmp_path: Path) -> None:
    config = compose("train", [f"logger={name}"])
    assert build(config.logger, save_dir=str(tmp_path), name="try")


def keys_of(file: Path) -> set[str]:
    """What a file says, and what it shares with others (/NAME, beside the groups)."""
    given = OmegaConf.load(file)
    said = {str(key) for key in given} - {"defaults", "hydra"}
    bases = [CONF / f"{d[1:]}.yaml" for d in given.defaults if str(d).startswith("/")]
    return said.union(*map(keys_of, bases))


@pytest.mark.parametrize("name", names("experiment"))
def test_every_experiment_composes_and_its_values_win(name: str, little: Path) -> None:
    config = compose("train", [f"experiment={name}", *needed("experiment", name, little)])
    plain = compose("train")
    said = keys_of(CONF / "experiment" / f"{name}.yaml")
    assert all(key in config for key in said)
    assert any(config[key] != plain.get(key) for key in said), "or nothing is shown"
    assert compose("train", [f"experiment={name}", "k=9"]).k == 9
    checked(config)


def test_a_pair_is_an_experiment_of_both_command_lines() -> None:
    config = compose("evaluate", ["experiment=llama2c"])
    same = compose("train", ["experiment=llama2c"])
    assert all(config[key] == same[key] != compose("evaluate")[key] for key in ("k", "drafter"))
    assert config.target._target_ == same.target._target_
    with pytest.raises(UserError, match=r"does not fit together.*gpt_k_lstm"):
        compose_command("evaluate", ["experiment=gpt_k_lstm"])


MISTAKES = {
    "drafer=lstm": "did you mean drafter",
    "drafter=lsmt": "did you mean lstm",
    "drafter.widht=3": "did you mean drafter.width",
    "trainer.max_epoch=3": "did you mean trainer.max_epochs",
    "sed=1": "did you mean seed",
    "xyzzy=1": "--help",
}


@pytest.mark.parametrize("given, answer", MISTAKES.items())
def test_a_typo_names_the_nearest_key(given: str, answer: str) -> None:
    with pytest.raises(UserError, match=answer):
        compose_command("train", [given])


def test_sound_overrides_pass() -> None:
    compose_command(
        "train", ["k=3,5", "drafter=lstm,lookup", "evaluation.prompts=3"], multirun=True
    )
    compose_command("evaluate", ["prompt=once upon a time", "top_p=0.9"])


BAD = {
    "k=0": "k=0 was given, but k must be at least 1",
    "temperature=-1": "temperature=-1",
    "dtype=float8": "choose one of auto, float32",
    "target=llama": r"target.path has no value: give target.path=",
    "target=llama target.path=nowhere": "nowhere does not exist",
    "target=llama target.path={text}": "config.json does not exist",
    "target=llama target.path={target} target.tokenizer=nowhere": "nowhere is not a tokenizer",
    "target=llama target.path={target} target.tokenizer={root}/other.model": "tokenizer has 330",
    "target=llama target.path={target} data=text data.path={root}/empty": "has no .txt file",
    "target=llama target.path={target} drafter=lookup": "nothing to train",
    "target=llama target.path={target} drafter.layers=0": "layers=0",
    "target=llama target.path={target} data.length=300": "context of 256",
    "target=llama target.path={target} resume=true": "there is no outputs/bad/checkpoints",
    "target=null": "tokenizer_pieces",
    "run=outputs/nowhere": "run=outputs/nowhere is not the folder of a training run",
    "target=llama target.path={target} prompt={long}": "context of 256",
    "target=llama target.path={target} drafter=lstm": "LSTM is untrained",
}


@pytest.mark.parametrize("given, answer", BAD.items())
def test_bad_input_is_one_sentence_and_status_2(
    given: str,
    answer: str,
    little: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The entry point itself, in a folder of its own; nothing is left behind but Hydra's notes."""
    (little / "empty").mkdir(exist_ok=True)
    if not (little / "other.model").exists():
        text = (little / "text" / "one.txt").read_text(encoding="utf-8")
        train_sentencepiece([text], 330, little / "other.model")
    evaluating = any(word in given for word in ("run=", "prompt=", "drafter=lstm"))
    entry = "evaluate.py" if evaluating else "train.py"
    values = {"root": little, "target": little / "target", "text": little / "text"}
    words = [word.format(**values, long="bal_" * 300) for word in given.split()]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [entry, *words, *([] if evaluating else ["name=bad"])])
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(str(ROOT / entry), run_name="__main__")
    assert ended.value.code == 2
    lines = capfd.readouterr().err.strip().splitlines()
    assert len(lines) == 1, lines
    assert answer in lines[0]
    left = [path for path in tmp_path.rglob("*") if path.is_file() and ".hydra" not in str(path)]
    assert not left
