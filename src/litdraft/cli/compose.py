"""From the words of a command line to one composed config, and to Hydra's run of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.types import Override
from hydra.core.utils import run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hydra.version import setbase
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from litdraft.cli.sweep_folder import sweep_words
from litdraft.config.conf_folder import conf_folder
from litdraft.config.overrides import (
    check_choices,
    check_keys,
    groups_of,
    parsed,
    shapes_config,
    without_null_groups,
)
from litdraft.config.resolvers import register
from litdraft.errors import UserError

Task = Callable[[DictConfig], Any]


@dataclass
class Composed:
    """A checked command line: `words` as Hydra takes them, and the config of everything that is not
    swept over."""

    command: str
    words: list[str]
    config: DictConfig
    hydra: Hydra
    sweeps: bool

    def run(self, task: Task) -> Any:
        """Run one job, from the config that was composed already; or all jobs of a sweep."""
        if self.sweeps:
            words = sweep_words(self.config, self.words)
            return self.hydra.multirun(self.command, task, words)
        self.config.hydra.mode = RunMode.RUN
        callbacks = Callbacks(self.config)
        callbacks.on_run_start(config=self.config, config_name=self.command)
        result = run_job(
            hydra_context=HydraContext(self.hydra.config_loader, callbacks),
            task_function=task,
            config=self.config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )
        callbacks.on_run_end(config=self.config, config_name=self.command, job_return=result)
        return result.return_value


def compose(
    command: str, words: Sequence[str], folders: Sequence[Path] = (), multirun: bool = False
) -> Composed:
    """Compose and check; UserError, with the nearest key, if a word names nothing.

    `folders` are the user's own configuration folders; their files come before conf/'s.
    """
    register()
    setbase("1.3")
    searched = [*folders, conf_folder()]
    groups = groups_of(searched)
    words = without_null_groups(words, groups)
    overrides = parsed(words)
    check_choices(overrides, groups)
    hydra = _hydra(command, folders)
    fixed = [o.input_line or "" for o in overrides if not o.is_sweep_override()]
    try:
        config = hydra.compose_config(command, fixed, RunMode.RUN, with_log_configuration=True)
    except (HydraException, OmegaConfBaseException) as error:
        _explain(hydra, command, overrides, groups, error)
    swept = [o for o in overrides if o.is_sweep_override()] + _swept_by_itself(config, overrides)
    check_choices(swept, groups)
    check_keys(config, swept, groups)
    return Composed(
        command, words, config, hydra, multirun or config.hydra.mode == RunMode.MULTIRUN
    )


def _hydra(command: str, folders: Sequence[Path]) -> Hydra:
    GlobalHydra.instance().clear()
    setup_globals()
    search_path = create_automatic_config_search_path(None, None, str(conf_folder()))
    for folder in folders:
        search_path.prepend(
            "command-line", f"file://{folder.resolve()}", SearchPathQuery(provider="schema")
        )
    return Hydra.create_main_hydra2(task_name=command, config_search_path=search_path)


def _explain(
    hydra: Hydra,
    command: str,
    overrides: Sequence[Override],
    groups: dict[str, list[str]],
    error: Exception,
) -> None:
    """Raise the UserError that says what is wrong with a command line that does not compose."""
    choices = [o.input_line or "" for o in overrides if shapes_config(o, groups)]
    try:
        config = hydra.compose_config(command, choices, RunMode.RUN)
    except (HydraException, OmegaConfBaseException) as cause:
        error = cause
    else:
        check_keys(config, overrides, groups)
    causes = [str(cause).splitlines()[0] for cause in (error, error.__cause__) if cause]
    reason = ": ".join(line.rstrip(".") for line in causes)
    raise UserError(f"the command line does not fit together: {reason}") from None


def _swept_by_itself(config: DictConfig, overrides: Sequence[Override]) -> list[Override]:
    """What an experiment sweeps by itself, unless the command line says otherwise."""
    given = {override.key_or_group for override in overrides}
    params = config.hydra.sweeper.get("params") or {}
    return parsed([f"{key}={value}" for key, value in params.items() if key not in given])
