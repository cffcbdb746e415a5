"""The sizes of a drafter that is a network of its own, from a command line and a target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from litdraft.errors import UserError


def chosen(
    given: Mapping[str, Any],
    others: Mapping[str, Any],
    shape: type,
    kind: str,
    whole: Sequence[str],
) -> dict[str, Any]:
    """The sizes given, where they are not None, and `others` for the rest; `kind` says what has the
    shape. UserError if one is none of `shape`'s, or one of `whole` no whole number above 0."""
    known = [field.name for field in fields(shape)]
    if unknown := sorted(given.keys() - set(known)):
        names = ", ".join(known)
        raise UserError(f"drafter has {', '.join(unknown)}, but {kind} has only {names}")
    sizes = {**others, **{name: size for name, size in given.items() if size is not None}}
    for name in whole:
        value = sizes.get(name, getattr(shape, name, None))
        if value is None:
            raise UserError(
                f"drafter.{name} has no value, and there is no target that {kind} could take it "
                f"from: give drafter.{name}=..."
            )
        if type(value) is not int or value < 1:
            raise UserError(f"drafter.{name} is {value}, but must be a whole number above 0")
    return sizes
