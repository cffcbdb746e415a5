"""What conf/ can interpolate, and the name that a run gets from its choices."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from litdraft.config.conf_folder import ASSETS
from litdraft.config.schema import Evaluate, Train

# What may differ between two runs that are still the same experiment.
INCIDENTAL = frozenset({"name", "hydra", "resume", "devices", "logger", "run", "evaluate"})


def register() -> None:
    """Make schema and interpolations known to Hydra; safe to call again."""
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
    text = json.dumps(chosen, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:6]


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
