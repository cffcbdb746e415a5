"""The command `litdraft`, and what train.py and evaluate.py call.

Everything that conf/ and the schema can answer (help, version, completion, typos, refusals) is
answered before torch is imported: this module and what it imports at the top stay light.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from litdraft.cli.words import COMMANDS, HELP, VERSION, Words, read_words
from litdraft.errors import UserError

# Before torch: a waiting thread gives way soon. Otherwise one busy neighbour was seen to make
# decoding on two cores fifty times slower; on an idle machine it costs nothing.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """`litdraft train ...` and `litdraft evaluate ...`; exits with status 2 after a UserError."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_answer(words))
    except UserError as error:
        fail(error)
    except KeyboardInterrupt:
        sys.exit(130)


def _answer(words: list[str]) -> int:
    """The exit status."""
    first, rest = (words[0], words[1:]) if words else ("--help", [])
    if first in COMMANDS:
        return _command(first, read_words(rest))
    if first in HELP:
        from litdraft.cli.help import show_commands

        show_commands()
        return 0
    given = read_words(words)
    if first in VERSION:
        return _show_version()
    if given.completion:
        return _complete(None, given)
    raise UserError(f"there is no command {first}: use {' or '.join(COMMANDS)}, or --help")


def _command(command: str, words: Words) -> int:
    if words.version:
        return _show_version()
    if words.completion:
        return _complete(command, words)
    if words.help:
        from litdraft.cli.help import show_command

        show_command(command, words.overrides, words.folders)
        return 0
    return _run(command, words)


def _run(command: str, words: Words) -> int:
    from litdraft.cli.compose import compose
    from litdraft.cli.show import show
    from litdraft.runs.restore import with_run_choices

    restores = command == "evaluate"
    overrides = with_run_choices(words.overrides) if restores else words.overrides
    composed = compose(command, overrides, words.folders, words.multirun)
    if words.shows is not None:
        show(composed, words.shows)
        return 0
    from litdraft.cli.jobs import TASKS, complete_config, failures

    if not composed.sweeps:
        complete_config(command, composed.config, overrides)
    composed.run(TASKS[command])
    return int(failures() > 0)


def _show_version() -> int:
    from litdraft import __version__

    print(f"litdraft {__version__}")
    return 0


def _complete(command: str | None, words: Words) -> int:
    from litdraft.cli.completion import answer

    print(answer(command, words.completion or ""))
    return 0


def fail(error: UserError) -> NoReturn:
    """One sentence, and exit status 2."""
    from litdraft.cli.terminal import complain

    complain("error", str(error))
    sys.exit(2)
