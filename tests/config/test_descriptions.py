"""Every key of every file of conf/ is described, by its comment."""

from __future__ import annotations

import pytest

from litdraft.cli.compose import compose
from litdraft.cli.help import leaves, schema_keys
from litdraft.config.conf_folder import conf_folder
from litdraft.config.descriptions import (
    describe_choice,
    describe_keys,
    file_comment,
    key_comments,
)

TEXT = """# What the file is.
# Its second line.
#   litdraft train   a command to type
_target_: some.thing
a: 1 # after it
# just above it
b: "a # in quotes" # and after
c:
  d: 2 # inside
  e: 3

f: 'it''s # quoted'
"""
CHOICES = [
    (folder.name, path.stem)
    for folder in sorted(conf_folder().iterdir())
    if folder.is_dir() and folder.name != "hydra"
    for path in sorted(folder.glob("*.yaml"))
]


def test_comments_belong_to_keys() -> None:
    assert file_comment(TEXT) == "What the file is. Its second line."
    assert key_comments(TEXT) == {"a": "after it", "b": "and after", "c.d": "inside"}
    assert key_comments("a: 1\n# above\nb: 2\n") == {"b": "above"}


@pytest.mark.parametrize("group, choice", CHOICES)
def test_every_choice_and_key_is_described(group: str, choice: str) -> None:
    assert describe_choice(group, choice) or group == "experiment"
    command = "evaluate" if group == "decoding" else "train"
    config = compose(command, [f"{group}={choice}"], multirun=True).config
    described = describe_keys(group, choice)
    keys = [key.removeprefix(f"{group}.") for key in leaves(config, group)]
    missing = [key for key in keys if not described.get(key)]
    assert not missing, f"conf/{group}/{choice}.yaml or what it builds on: no comment for {missing}"


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_every_key_of_the_schema_is_described(command: str) -> None:
    config = compose(command, [], multirun=True).config
    groups = {path.name for path in conf_folder().iterdir()}
    keys = {str(key) for key in config} - groups - {"hydra"}
    assert keys == schema_keys(command).keys()
