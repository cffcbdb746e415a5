"""What --help tells of each key: the comments of the YAML files.

A key is described by the comment after it, or else by the comment lines just above it. The comment
at a file's beginning describes the file, so the choice that it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from litdraft.config.conf_folder import conf_folder

KEY = re.compile(r"^(?P<indent> *)(?P<key>[\w.]+):(?P<value>(?: .*)?)$")
COMMENT = re.compile(r"(?:^|\s)#\s*(?P<text>.*)$")
QUOTED = re.compile(r"""^\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*')""")


def describe_choice(group: str, choice: str, folders: Sequence[Path] = ()) -> str:
    """The sentence at the beginning of a group's file; empty if there is none."""
    path = _find(f"{group}/{choice}", folders)
    return "" if path is None else file_comment(path.read_text(encoding="utf-8"))


def describe_keys(group: str, choice: str, folders: Sequence[Path] = ()) -> dict[str, str]:
    """The description of every dotted key of a choice, also of those from files it builds on."""
    return _described(f"{group}/{choice}", folders)


def file_comment(text: str) -> str:
    """The comment block at the beginning of a file, without commands to type."""
    words: list[str] = []
    for line in text.splitlines():
        if not line.startswith("#"):
            break
        if not line.startswith(("# @", "#  ")):
            words.append(line.lstrip("# ").strip())
    return " ".join(words)


def key_comments(text: str) -> dict[str, str]:
    """The comment of every dotted key of one file."""
    found: dict[str, str] = {}
    parents: list[tuple[int, str]] = []
    above: list[str] = []
    begun = False  # the comment at the beginning belongs to the file
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            if begun:
                above.append(line.lstrip("# ").strip())
            continue
        match = KEY.match(line)
        if match is None:
            begun, above = True, []
            continue
        begun = True
        indent = len(match["indent"])
        parents = [(depth, name) for depth, name in parents if depth < indent]
        parents.append((indent, match["key"]))
        comment = COMMENT.search(QUOTED.sub("", match["value"]))
        description = comment["text"] if comment else " ".join(above)
        if description:
            found[".".join(name for _, name in parents)] = description
        above = []
    return found


def _described(name: str, folders: Sequence[Path]) -> dict[str, str]:
    path = _find(name, folders)
    if path is None:
        return {}
    text = path.read_text(encoding="utf-8")
    content: Any = yaml.safe_load(text) or {}
    found: dict[str, str] = {}
    for base, package in _bases(content.get("defaults", ()), name.rpartition("/")[0]):
        inner = _described(base, folders)
        found |= {f"{package}{key}": description for key, description in inner.items()}
    return found | key_comments(text)


def _bases(defaults: Sequence[Any], group: str) -> Iterator[tuple[str, str]]:
    """The files that a defaults list names, and the prefix that their keys get."""
    for entry in defaults:
        for left, right in entry.items() if isinstance(entry, dict) else ((entry, None),):
            where, _, package = str(left).partition("@")
            if where == "_self_" or where.startswith("override "):
                continue
            name = where if right is None else f"{where}/{right}"
            absolute = name.startswith("/")
            prefix = "" if package in ("", "_here_") else f"{package}."
            yield name.lstrip("/") if absolute else f"{group}/{name}", prefix


def _find(name: str, folders: Sequence[Path]) -> Path | None:
    """A file by its name; the user's own folders win over conf/."""
    paths = (folder / f"{name}.yaml" for folder in (*folders, conf_folder()))
    return next((path for path in paths if path.is_file()), None)
