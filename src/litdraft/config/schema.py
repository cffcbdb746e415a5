"""The typed top of both command lines, and the interpolations that conf/ uses."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

import litdraft
from litdraft.config.overrides import no_choice
from litdraft.errors import UserError
from litdraft.evaluation.draft_length import LONGEST
from litdraft.sampling import Sampling

STUDIES = ("certainty", "suffixes")
ASSETS = Path(litdraft.__file__).parent / "assets"

# What may differ between two runs that are still the same experiment.
INCIDENTAL = frozenset({"name", "hydra", "resume", "devices", "logger", "run", "evaluate"})


@dataclass
class Common:
    """Keys of train.py and evaluate.py alike; `drafter=null` and the like empty a group."""

    target: Any = None
    drafter: Any = None
    data: Any = None
    name: str = "run"
    k: int = 3
    seed: int = 0
    devices: int = 1
    dtype: str = "float32"
    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0


@dataclass
class Train(Common):
    """Keys of train.py."""

    resume: bool = False
    start: str | None = None  # begin with the weights of another run's drafter
    evaluate: bool | None = None  # after training; null: in sweeps only
    probe_prompts: int = 8
    save_minutes: float = 5.0  # inside an epoch; after each one anyway
    tokenizer_pieces: int | None = None
    objective: Any = None
    teacher: Any = None
    optimizer: Any = None
    schedule: Any = None
    trainer: Any = None
    logger: Any = None
    evaluation: dict[str, Any] = field(default_factory=dict)  # keys of evaluate.py, for sweeps


@dataclass
class Evaluate(Common):
    """Keys of evaluate.py. `dtype` auto keeps weights as they are stored, where that is fast."""

    dtype: str = "auto"
    k: Any = 3  # or auto: the best one by measured costs

    decoding: Any = None
    run: str | None = None
    study: str | None = None  # of the target alone: certainty or suffixes
    prompt: str | None = None
    prompts: int = 32
    max_new_tokens: int = 128
    batch: int = 1
    fused: bool = True  # decode on a CPU by the fused step, where it can be built
    compile: str = "auto"
    repeats: int = 1


def register() -> None:
    """Make schema and interpolations known; safe to call again."""
    store = ConfigStore.instance()
    store.store("train_schema", node=Train)
    store.store("evaluate_schema", node=Evaluate)
    for name, resolver in (
        ("asset", lambda name: str(ASSETS / name)),
        ("run_name", run_name),
        ("evaluation_folder", evaluation_folder),
    ):
        OmegaConf.register_new_resolver(name, resolver, replace=True)


def run_name(*, _root_: DictConfig) -> str:
    """drafter-target-k and six digits of everything else: the same choices, the same folder."""
    parts = (label(_root_.get("drafter")), label(_root_.get("target")), f"k{_root_.get('k')}")
    return "-".join((*(part for part in parts if part), digest(_root_)))


def digest(config: DictConfig) -> str:
    """Six digits of every choice that is not incidental."""
    chosen = {
        key: OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
        for key in config
        if key not in INCIDENTAL
        for node in (config._get_node(key),)
    }
    told = json.dumps(chosen, sort_keys=True, default=str)
    return hashlib.sha256(told.encode()).hexdigest()[:6]


def label(group: DictConfig | None) -> str:
    """A short name of a chosen drafter or target: its file, or the end of its path."""
    if group is None:
        return ""
    path = OmegaConf.to_container(group, resolve=False).get("path")  # type: ignore[union-attr]
    if isinstance(path, str) and not path.startswith("${") and path != "???":
        return Path(path).stem
    if isinstance(path, str) and path.startswith("${asset:"):
        return path[len("${asset:") : -1]
    return ".".join(str(group.get("_target_", "")).split(".")[:-1]).rpartition(".")[2]


def evaluation_folder(*, _root_: DictConfig) -> str:
    """The run's own folder, or one for an evaluation without a run."""
    run = _root_.get("run")
    return str(run) if run else f"outputs/{_root_.name}"


def checked(config: DictConfig) -> DictConfig:
    """UserError for a number that cannot be meant."""
    if "k" in config and config.k != "auto" and not isinstance(config.k, int):
        raise UserError(f"k={config.k} was given: choose a whole number of drafts, or auto")
    for key, least in (("k", 1), ("devices", 1), ("prompts", 1), ("max_new_tokens", 1),
                       ("batch", 1), ("repeats", 1), ("seed", 0)):  # fmt: skip
        if key in config and config[key] != "auto" and config[key] < least:
            raise UserError(f"{key}={config[key]} was given, but {key} must be at least {least}")
    if (
        "max_new_tokens" in config
        and config.prompt is None
        and config.max_new_tokens < (longest := LONGEST if config.k == "auto" else config.k) + 2
    ):
        raise UserError(
            f"max_new_tokens={config.max_new_tokens} was given with k={config.k}: no whole round "
            f"fits, give at least {longest + 2}"
        )
    if config.get("study") is not None and config.study not in STUDIES:
        raise no_choice("study", config.study, STUDIES)
    Sampling(config.temperature, config.top_k, config.top_p)  # which knows its own limits
    if "compile" in config and str(config.compile).lower() not in ("auto", "true", "false"):
        raise UserError(f"compile={config.compile} was given: choose auto, true or false")
    return config
