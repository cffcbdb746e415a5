"""The words of a command line, sorted: flags here, KEY=VALUE for Hydra."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from litdraft.errors import UserError

COMMANDS = {
    "train": "train a drafter for a frozen target",
    "evaluate": "decode with and without a drafter, and report what it buys",
}
HELP, VERSION = ("-h", "--help"), ("-V", "--version")
MULTIRUN = ("-m", "--multirun")
CONFIG_DIR = ("-cd", "--config-dir")
COMPLETION = ("-sc", "--shell-completion")
SHOW = ("-c", "--cfg")
PARTS = ("job", "hydra", "all")  # what --cfg shows


@dataclass
class Words:
    """One command line without its command."""

    overrides: list[str] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)  # the user's own, beside conf/
    multirun: bool = False
    help: bool = False
    version: bool = False
    completion: str | None = None  # install=SHELL or query=SHELL
    shows: str | None = None  # of the config: one of PARTS; nothing is run


def read_words(arguments: Sequence[str]) -> Words:
    """UserError if a flag is unknown or lacks its value."""
    words, rest = Words(), iter(arguments)
    for word in rest:
        flag, _, value = word.partition("=")
        if not word.startswith("-"):
            words.overrides.append(word)
        elif word in MULTIRUN:
            words.multirun = True
        elif word in HELP:
            words.help = True
        elif word in VERSION:
            words.version = True
        elif flag in CONFIG_DIR:
            words.folders.append(_folder(flag, value or _next(flag, rest)))
        elif flag in COMPLETION:
            words.completion = value or _next(flag, rest)
        elif flag in SHOW:
            words.shows = _part(flag, value or _next(flag, rest))
        else:
            raise UserError(f"there is no flag {flag}: --help lists all flags and keys")
    return words


def _next(flag: str, rest: Iterator[str]) -> str:
    value = next(rest, None)
    if value is None:
        raise UserError(f"{flag} was given without a value: --help shows what it takes")
    return value


def _folder(flag: str, given: str) -> Path:
    folder = Path(given)
    if not folder.is_dir():
        raise UserError(f"{flag} {given} was given, but there is no such folder of YAML files")
    return folder


def _part(flag: str, given: str) -> str:
    if given not in PARTS:
        raise UserError(f"{flag} {given} was given: choose one of {', '.join(PARTS)}")
    return given
