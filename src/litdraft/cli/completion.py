"""Shell completion: litdraft -sc install=bash (or zsh, fish), also for python train.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from litdraft.cli.words import COMMANDS, read_words
from litdraft.config.conf_folder import conf_folder
from litdraft.config.overrides import flattened, groups_of
from litdraft.errors import UserError

BASH = """_litdraft_complete() {
    local program=litdraft answer
    if [[ ${COMP_WORDS[0]} == python* ]]; then
        [[ ${COMP_WORDS[1]} == *train.py || ${COMP_WORDS[1]} == *evaluate.py ]] || return
        program="${COMP_WORDS[0]} ${COMP_WORDS[1]}"
    fi
    answer=$(COMP_LINE="${COMP_LINE:0:COMP_POINT}" $program -sc query=bash 2>/dev/null)
    local IFS=$'\\n'
    COMPREPLY=($answer)
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _litdraft_complete PROGRAM"""
ZSH = """autoload -U +X bashcompinit && bashcompinit
_litdraft_complete() {
    COMPREPLY=(${(f)"$(COMP_LINE="$words" litdraft -sc query=zsh 2>/dev/null)"})
}
complete -o nospace -o default -F _litdraft_complete litdraft"""
FISH = """complete -c litdraft -f -a \
'(COMP_LINE=(commandline -cp) litdraft -sc query=fish 2>/dev/null)'"""
SCRIPTS = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def answer(command: str | None, request: str) -> str:
    """What -sc prints: a script to evaluate (install=SHELL), or candidates (query=SHELL), one per
    line, for the last word of the environment's COMP_LINE."""
    action, _, shell = request.partition("=")
    if action not in ("install", "query") or shell not in SCRIPTS:
        raise UserError(
            f"-sc {request} was given: use -sc install=SHELL with one of {', '.join(SCRIPTS)}"
        )
    if action == "install":
        program = "python" if sys.argv[0].endswith(".py") else "litdraft"
        return SCRIPTS[shell].replace("PROGRAM", program)
    return "\n".join(_candidates(command, os.environ.get("COMP_LINE", "")))


def _candidates(command: str | None, line: str) -> list[str]:
    """Whole words that can take the place of the last word of `line`."""
    words = line.split()
    last = "" if not line or line[-1].isspace() else words.pop()
    words = words[2:] if words and Path(words[0]).name.startswith("python") else words[1:]
    if command is None:
        if not words or words[0] not in COMMANDS:
            return [f"{name} " for name in (*COMMANDS, "--help") if name.startswith(last)]
        command, *words = words
    try:
        return [word for word in _words(command, words, last) if word.startswith(last)]
    except UserError:
        return []  # the words before do not compose


def _words(command: str, before: Sequence[str], last: str) -> list[str]:
    from litdraft.cli.compose import compose

    words = read_words(before)
    groups = groups_of([*words.folders, conf_folder()])
    key, given, _ = last.partition("=")
    if given and key in groups:
        return [f"{key}={choice} " for choice in groups[key]]
    config = compose(command, words.overrides, words.folders, multirun=True).config
    if given:
        value = OmegaConf.select(config, key, throw_on_missing=False)
        return [f"{key}=true ", f"{key}=false "] if isinstance(value, bool) else []
    present = {f"{g}=" for g in groups if g in config or g == "experiment"} - {"hydra="}
    return sorted(present.union(_keys(config, last)))


def _keys(config: DictConfig, last: str) -> list[str]:
    """Keys as deep as the dots of the last word; a group's name ends in its dot."""
    depth, found = last.count("."), []
    for key in flattened(config):
        if key.count(".") != depth or key.startswith("hydra") or key.endswith("_target_"):
            continue
        inner = OmegaConf.is_config(config._get_node(key) if "." not in key else _node(config, key))
        found.append(f"{key}." if inner else f"{key}=")
    return found


def _node(config: DictConfig, key: str) -> object:
    node: object = config
    for part in key.split("."):
        assert isinstance(node, DictConfig)
        node = node._get_node(part)
    return node
