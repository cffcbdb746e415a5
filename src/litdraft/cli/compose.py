"""From the words of a command line to one composed, checked config, and to Hydra's run of it."""

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
from hydra.core.plugins import Plugins
from hydra.core.utils import run_job, setup_globals
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hydra.version import setbase
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from litdraft.cli.sweep_folder import prepare_sweep
from litdraft.config.conf_folder import conf_folder
from litdraft.config.overrides import (
    EVALUATION,
    Groups,
    check_choices,
    check_keys,
    groups_of,
    parsed,
    shapes_config,
    spelled_for_hydra,
)
from litdraft.config.resolvers import register
from litdraft.errors import UserError

Task = Callable[[DictConfig], Any]


@dataclass
class Composed:
    """A checked command line: the config of everything that is not swept over."""

    command: str
    config: DictConfig
    hydra: Hydra
    sweeps: bool

    def run(self, task: Task) -> None:
        """Run one job, from the config that was composed already; or all jobs of a sweep."""
        callbacks = Callbacks(self.config)
        context = HydraContext(self.hydra.config_loader, callbacks)
        if self.sweeps:
            self._sweep(task, callbacks, context)
        else:
            self._run(task, callbacks, context)

    def _run(self, task: Task, callbacks: Callbacks, context: HydraContext) -> None:
        self.config.hydra.mode = RunMode.RUN
        callbacks.on_run_start(config=self.config, config_name=self.command)
        result = run_job(
            hydra_context=context,
            task_function=task,
            config=self.config,
            job_dir_key="hydra.run.dir",
            job_subdir_key=None,
        )
        callbacks.on_run_end(config=self.config, config_name=self.command, job_return=result)
        _ = result.return_value  # raises what the job raised

    def _sweep(self, task: Task, callbacks: Callbacks, context: HydraContext) -> None:
        self.config.hydra.mode = RunMode.MULTIRUN
        prepare_sweep(self.config)
        callbacks.on_multirun_start(config=self.config, config_name=self.command)
        sweeper = Plugins.instance().instantiate_sweeper(
            config=self.config, hydra_context=context, task_function=task
        )
        sweeper.sweep(arguments=list(self.config.hydra.overrides.task))
        callbacks.on_multirun_end(config=self.config, config_name=self.command)


def compose(
    command: str, words: Sequence[str], folders: Sequence[Path] = (), multirun: bool = False
) -> Composed:
    """Compose and check; UserError, with the nearest key, if a word names nothing.

    `folders` are the user's own configuration folders; their files win over those of conf/.
    """
    register()
    setbase("1.3")
    groups = groups_of([*folders, conf_folder()])
    words = spelled_for_hydra(words, groups)
    overrides = parsed(words)
    if multirun:  # said here, every job's own config knows it too
        words = [*words, "hydra.mode=MULTIRUN"]
    check_choices(overrides, groups)
    hydra = _hydra(command, folders)
    try:
        config = hydra.compose_config(
            command, words, RunMode.MULTIRUN, with_log_configuration=True,
            validate_sweep_overrides=False,
        )  # fmt: skip
    except (HydraException, OmegaConfBaseException) as error:
        _explain(hydra, command, overrides, groups, error)
    swept = [o for o in overrides if o.is_sweep_override()]
    sweeps = multirun or config.hydra.mode == RunMode.MULTIRUN
    if swept and not sweeps:
        raise UserError(f"{swept[0].input_line} gives several values: add -m for a sweep over them")
    swept += _swept_by_experiment(config, overrides)
    check_choices(swept, groups)
    check_keys(config, swept, groups)
    _check_evaluation(hydra, overrides, groups)
    return Composed(command, config, hydra, sweeps)


def _hydra(command: str, folders: Sequence[Path]) -> Hydra:
    GlobalHydra.instance().clear()
    setup_globals()
    search_path = create_automatic_config_search_path(None, None, str(conf_folder()))
    for folder in reversed(folders):
        search_path.prepend(
            "command-line", f"file://{folder.resolve()}", SearchPathQuery(provider="schema")
        )
    return Hydra.create_main_hydra2(task_name=command, config_search_path=search_path)


def _explain(
    hydra: Hydra,
    command: str,
    overrides: Sequence[Override],
    groups: Groups,
    error: Exception,
) -> None:
    """Raise the UserError that tells what is wrong with a command line that does not compose."""
    choices = [o.input_line or "" for o in overrides if shapes_config(o, groups)]
    try:
        config = hydra.compose_config(command, choices, RunMode.MULTIRUN)
    except (HydraException, OmegaConfBaseException) as cause:
        error = cause
    else:
        check_keys(config, overrides, groups)
    causes = [str(cause).splitlines()[0] for cause in (error, error.__cause__) if str(cause or "")]
    reason = ": ".join(line.rstrip(".") for line in causes)
    raise UserError(f"the command line does not fit together: {reason}") from None


def _check_evaluation(hydra: Hydra, overrides: Sequence[Override], groups: Groups) -> None:
    """UserError for a key of evaluation.* that evaluate does not have."""
    inner = [
        (override.input_line or "").lstrip("+").removeprefix(EVALUATION)
        for override in overrides
        if override.key_or_group.startswith(EVALUATION)
    ]
    if inner:
        config = hydra.compose_config("evaluate", [], RunMode.MULTIRUN)
        check_keys(config, parsed(inner), groups, EVALUATION)


def _swept_by_experiment(config: DictConfig, overrides: Sequence[Override]) -> list[Override]:
    """What an experiment sweeps over, unless the command line gives other values."""
    given = {override.key_or_group for override in overrides}
    params = OmegaConf.select(config, "hydra.sweeper.params") or {}
    return parsed([f"{key}={value}" for key, value in params.items() if key not in given])
