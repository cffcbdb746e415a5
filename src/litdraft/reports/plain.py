"""Between typed records (dataclasses and named tuples) and the plain data that JSON holds."""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from litdraft.errors import UserError

T = TypeVar("T")


def to_plain(value: Any) -> Any:
    """Dictionaries, lists, numbers, strings, booleans and None; keys are the fields' names."""
    if names := field_names(type(value)):
        return {name: to_plain(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(item) for item in value]
    return value


def from_plain(kind: type[T], value: Any, where: str = "") -> T:
    """A record of this kind. UserError that names the field where one is missing, unknown or of
    another type; `where` is the path of the value, for that message."""
    made: T = _read(kind, value, where)
    return made


def field_names(kind: Any) -> tuple[str, ...]:
    """The fields of a record type, in order; none for any other type."""
    if is_dataclass(kind):
        return tuple(field.name for field in fields(kind))
    names: tuple[str, ...] = getattr(kind, "_fields", ())
    return names


def _read(kind: Any, value: Any, where: str) -> Any:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is types.UnionType:  # X | None, the only union
        if value is None:
            return None
        return _read(next(part for part in parts if part is not types.NoneType), value, where)
    if field_names(kind):
        return _read_record(kind, value, where)
    if origin is list and isinstance(value, list):
        return [_read(parts[0], item, f"{where}[{index}]") for index, item in enumerate(value)]
    if origin is dict and isinstance(value, dict):
        return {key: _read(parts[1], item, _join(where, key)) for key, item in value.items()}
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is None and type(value) is kind:
        return value
    raise UserError(f"field {where} is {value!r:.60}, but {_name(kind)} was expected")


def _read_record(kind: Any, value: Any, where: str) -> Any:
    if not isinstance(value, dict):
        raise UserError(
            f"field {where or 'at the top'} is {value!r:.60}, but an object was expected"
        )
    names, hints = field_names(kind), get_type_hints(kind)
    for name in names:
        if name not in value:
            raise UserError(f"field {_join(where, name)} is missing")
    for name in value:
        if name not in names:
            raise UserError(f"field {_join(where, name)} is unknown")
    return kind(**{name: _read(hints[name], value[name], _join(where, name)) for name in names})


def _join(where: str, name: str) -> str:
    return f"{where}.{name}" if where else name


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind)
