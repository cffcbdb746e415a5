"""--cfg: the composed configuration as YAML."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf

from litdraft.cli.compose import Composed


def show(composed: Composed, part: str) -> None:
    """Print the `job`'s part, the `hydra` part or `all` of a config, interpolations kept."""
    everything = composed.config.copy()
    OmegaConf.set_struct(everything, False)
    hydra = everything.pop("hydra")
    shown: dict[str, DictConfig] = {
        "job": everything,
        "hydra": OmegaConf.create({"hydra": hydra}),
        "all": composed.config,
    }
    print(OmegaConf.to_yaml(shown[part]), end="")
