"""The command `litdraft`, and what train.py and evaluate.py call.

Everything that can be answered from conf/ and the schema (help, version, completion, typos) is
answered before torch is imported: this module and what it imports at the top must stay light.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

from litdraft.errors import UserError

# Before torch: a thread that waits soon gives way. Otherwise one busy neighbour was seen to make
# decoding on two cores fifty times slower; alone it costs nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")

COMMANDS = ("train", "evaluate")
HELP, VERSION = {"-h", "--help"}, {"-V", "--version"}
SHOWN_BY_HYDRA = {"-c", "--cfg", "-i", "--info", "--hydra-help", "-sc", "--shell-completion"}


def main(arguments: Sequence[str] | None = None) -> None:
    """`litdraft train ...` and `litdraft evaluate ...`; exits with status 2 after a UserError."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_answer(words))
    except UserError as error:
        fail(error)


def _answer(words: list[str]) -> int:
    """The exit status."""
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first in VERSION:
        print(f"litdraft {version('litdraft')}")
        return 0
    if first in HELP:
        from litdraft.cli.help import show_commands

        show_commands()
        return 0
    if first == "completion":
        from litdraft.cli.completion import script

        print(script(rest))
        return 0
    if first == "complete":
        from litdraft.cli.completion import complete

        print("\n".join(complete(rest)))
        return 0
    if first not in COMMANDS:
        raise UserError(f"there is no command {first}: use one of {', '.join(COMMANDS)}")
    return _run(first, rest)


def _run(command: str, words: list[str]) -> int:
    words, folders = _user_folders(words)
    if HELP & set(words):
        from litdraft.cli.help import show_command

        show_command(command, [word for word in words if word not in HELP], folders)
        return 0
    if SHOWN_BY_HYDRA & set(words):
        return _hydra_itself(command, words, folders)
    from litdraft.cli.compose import compose
    from litdraft.runs.restore import with_run_choices

    multirun = {"-m", "--multirun"} & set(words)
    overrides = [word for word in words if word not in multirun]
    if command == "evaluate":
        overrides = with_run_choices(overrides)
    composed = compose(command, overrides, folders, bool(multirun))
    from litdraft.cli.jobs import TASKS, failures

    composed.run(TASKS[command])
    return int(failures() > 0)


def _user_folders(words: list[str]) -> tuple[list[str], list[Path]]:
    """The words without --config-dir FOLDER, and the user's own configuration folders."""
    kept, folders = [], []
    rest = iter(words)
    for word in rest:
        name, given, value = word.partition("=")
        if name not in ("--config-dir", "-cd"):
            kept.append(word)
            continue
        folder = Path(value if given else next(rest, ""))
        if not folder.is_dir():
            raise UserError(f"{word} was given, but {folder} is no folder of YAML files")
        folders.append(folder)
    return kept, folders


def _hydra_itself(command: str, words: list[str], folders: list[Path]) -> int:
    """Flags of Hydra that show something and run nothing, such as --cfg job."""
    import hydra

    from litdraft.config.conf_folder import conf_folder
    from litdraft.config.resolvers import register

    register()
    extra = [part for folder in folders for part in ("--config-dir", str(folder))]
    sys.argv[1:] = [*words, *extra]
    hydra.main(version_base="1.3", config_path=str(conf_folder()), config_name=command)(
        lambda config: None
    )()
    return 0


def fail(error: UserError) -> NoReturn:
    """One sentence, and exit status 2."""
    from litdraft.cli.terminal import complain

    complain("error", str(error))
    sys.exit(2)
