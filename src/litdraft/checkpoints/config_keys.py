"""A JSON config with typed look-ups, and the token ids that Hugging Face folders name in it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litdraft.errors import UserError
from litdraft.io import read_json


@dataclass(frozen=True)
class ConfigKeys:
    """A JSON object with typed look-ups; errors name the file and the key.

    null counts as missing; without a default a missing key is an error.
    """

    path: Path
    values: dict[str, Any]

    def count(self, key: str, default: int | None = None) -> int:
        value = self._get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise self.error(key, "a whole number above 0")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        value = self._get(key, default)
        numeric = isinstance(value, int | float) and not isinstance(value, bool)
        if not numeric or not math.isfinite(value) or value <= 0:
            raise self.error(key, "a number above 0")
        return float(value)

    def flag(self, key: str) -> bool:
        value = self._get(key, False)
        if not isinstance(value, bool):
            raise self.error(key, "true or false")
        return value

    def keys(self, key: str) -> ConfigKeys | None:
        """The object under a key; None if it is missing or empty."""
        value = self._get(key, {})
        if not isinstance(value, dict):
            raise self.error(key, "an object")
        return ConfigKeys(self.path, value) if value else None

    def ids(self, key: str, vocabulary: int) -> tuple[int, ...]:
        """The token ids under a key, one number or a list; () if it is missing."""
        value = self._get(key, [])
        ids = value if isinstance(value, list) else [value]
        if not all(type(i) is int and 0 <= i < vocabulary for i in ids):
            raise self.error(key, f"token ids below the vocabulary of {vocabulary}")
        return tuple(ids)

    def require(self, key: str, default: object, expected: object) -> None:
        """UserError unless the key has the only supported value."""
        if self._get(key, default) != expected:
            raise self.error(key, f"{expected!r}, the only supported value")

    def error(self, key: str, expected: str) -> UserError:
        value = repr(self.values[key]) if key in self.values else "missing"
        return UserError(f"{self.path}: {key} is {value}, but must be {expected}")

    def _get(self, key: str, default: Any) -> Any:
        value = self.values.get(key)
        return default if value is None else value


def read_special_ids(folder: Path, vocabulary: int) -> tuple[int | None, tuple[int, ...]]:
    """BOS, and every id that ends a text, from config.json and generation_config.json."""
    bos: tuple[int, ...] = ()
    eos: tuple[int, ...] = ()
    for path in (folder / "config.json", folder / "generation_config.json"):
        if path.exists():
            keys = ConfigKeys(path, read_json(path))
            bos += keys.ids("bos_token_id", vocabulary)
            eos += keys.ids("eos_token_id", vocabulary)
    return next(iter(bos), None), tuple(dict.fromkeys(eos))
