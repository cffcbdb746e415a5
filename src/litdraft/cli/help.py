"""--help: every key with its value now and its description."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.text import Text

from litdraft.cli.compose import compose
from litdraft.cli.terminal import program
from litdraft.cli.words import COMMANDS
from litdraft.config.conf_folder import conf_folder
from litdraft.config.descriptions import describe_choice, describe_keys
from litdraft.config.overrides import flattened, groups_of
from litdraft.config.schema import Evaluate, Train
from litdraft.runs.restore import with_run_choices

SCHEMAS = {"train": Train, "evaluate": Evaluate}
LEFT = 30  # columns of KEY=VALUE
WIDEST = 100
ORDER = (
    "target", "drafter", "data", "objective", "teacher", "optimizer", "schedule", "trainer",
    "decoding", "logger", "experiment",
)  # fmt: skip
FLAGS = {
    "--help": "this page; with GROUP=NAME its keys",
    "--version": "the version",
    "-m": "a sweep: KEY=A,B runs every combination, and ends with a table and a winner",
    "--cfg job": "show the configuration that a command line means, and run nothing",
    "--config-dir DIR": "your own YAML files, laid out as in conf/; they win over ours",
    "-sc install=bash": 'shell completion (zsh, fish too): eval "$(litdraft -sc install=bash)"',
}
EXAMPLES = {
    "train": {
        "": "the default drafter on the embedded target",
        "drafter=lstm k=5 target=llama target.path=FOLDER": "",
        "data=jsonl data.path=FILE data.preview=3": "look at training rows, and stop",
        "name=NAME resume=true": "continue an interrupted run",
        "-m drafter.width=256,512 k=2,3": "a sweep",
        "experiment=sweep_families": "a sweep over every family",
    },
    "evaluate": {
        "run=outputs/NAME": "a trained drafter",
        "drafter=lookup": "a drafter that needs no training",
        'run=outputs/NAME prompt="Once upon"': "watch it: accepted tokens in colour",
        "run=outputs/NAME k=auto": "find the fastest draft length",
        "run=outputs/NAME temperature=1 prompts=64 batch=4": "",
    },
}


def show_commands() -> None:
    """The page of `litdraft --help`."""
    page = _Page()
    page.title("LitDraft trains small drafters for speculative decoding, and measures them.")
    for command, purpose in COMMANDS.items():
        page.row(f"litdraft {command}", purpose)
    page.gap()
    page.row("litdraft COMMAND --help", "every key of a command, its value and what it does")
    page.row("litdraft --version", "the version")


def show_command(command: str, overrides: Sequence[str], folders: Sequence[Path]) -> None:
    """The page of `litdraft COMMAND --help`: keys as the words of the command line set them."""
    words = with_run_choices(overrides) if command == "evaluate" else overrides
    config = compose(command, words, folders, multirun=True).config
    groups = groups_of([*folders, conf_folder()])
    page = _Page()
    page.title(f"{program(command)}: {COMMANDS[command]}.")
    for example, purpose in EXAMPLES[command].items():
        page.row(f"{program(command)} {example}", purpose, gap=2)
    page.title("Flags")
    for flag, purpose in FLAGS.items():
        page.row(flag, purpose)
    page.title("Keys (KEY=VALUE)")
    _show_schema(page, command, config)
    for group in sorted(groups.keys() & {*config, "experiment"} - {"hydra"}, key=_rank):
        _show_group(page, config, group, groups[group], folders)


def _rank(group: str) -> tuple[int, str]:
    return ORDER.index(group) if group in ORDER else len(ORDER), group


def schema_keys(command: str) -> dict[str, str]:
    """The description of every key that belongs to no group."""
    described = (field for field in fields(SCHEMAS[command]) if "help" in field.metadata)
    return {field.name: field.metadata["help"] for field in described}


def _show_schema(page: _Page, command: str, config: DictConfig) -> None:
    for key, description in schema_keys(command).items():
        page.row(f"{key}={_value(config, key)}", description)


def _show_group(
    page: _Page, config: DictConfig, group: str, choices: Sequence[str], folders: Sequence[Path]
) -> None:
    choice = config.hydra.runtime.choices.get(group)
    page.title(f"{group}={choice or 'null'}", describe_choice(group, str(choice), folders))
    page.paragraph(f"or {', '.join(name for name in choices if name != choice)}")
    if OmegaConf.select(config, group) is None:
        return
    descriptions = describe_keys(group, str(choice), folders)
    for key in leaves(config, group):
        inner = key.removeprefix(f"{group}.")
        page.row(f"{key}={_value(config, key)}", descriptions.get(inner, ""))


def leaves(config: DictConfig, group: str) -> Iterator[str]:
    """The dotted keys of a group that have a value of their own, without what conf/ fixes."""
    keys = [key for key in flattened(config) if key.startswith(f"{group}.")]
    parents = {key.rpartition(".")[0] for key in keys}
    return (key for key in keys if key not in parents and not key.endswith("_target_"))


def _value(config: DictConfig, key: str) -> str:
    """A value as one would type it, interpolations kept."""
    node: Any = config
    for part in key.split("."):
        node = node._get_node(part)
    value = OmegaConf.to_container(node) if OmegaConf.is_config(node) else node._value()
    if value is None:
        return "null"
    return str(value).lower() if isinstance(value, bool) else str(value).replace("\n", "\\n")


class _Page:
    """Two columns on a terminal, at most WIDEST wide."""

    def __init__(self) -> None:
        self.console = Console(highlight=False, soft_wrap=True)
        self.width = min(self.console.width, WIDEST)
        self._begun = False

    def title(self, name: str, description: str = "") -> None:
        if self._begun:
            self.gap()
        self._begun = True
        self.console.print(Text(name, style="bold"))
        if description:
            self.paragraph(description)

    def gap(self) -> None:
        self.console.print()

    def paragraph(self, text: str) -> None:
        for line in textwrap.wrap(text, self.width - 2, break_on_hyphens=False):
            self.console.print(Text(f"  {line}", style="dim"))

    def row(self, left: str, right: str, gap: int = 2) -> None:
        """The right column moves to the next line if the left one is too long."""
        lines = textwrap.wrap(right, self.width - LEFT - 2 - gap, break_on_hyphens=False) or [""]
        head, _, value = left.partition("=") if gap and "=" in left else (left, "", "")
        text = Text("  ").append(head, "cyan")
        if value or left.endswith("="):
            text.append(f"={value}")
        if len(left) <= LEFT:
            text.append(" " * (LEFT - len(left) + gap) + lines.pop(0))
        self.console.print(text)
        for line in lines:
            if line:
                self.console.print(" " * (LEFT + 2 + gap) + line, markup=False)
