"""Titles of books: which are equal, and which split each belongs to."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence

from litdraft.data.sources.examples import Split
from litdraft.errors import UserError

Titles = str | int | Sequence[str | int]  # a number for a title like 1984


def normalized(title: str) -> str:
    """Equal for two titles of one book: without subtitle, article, case and punctuation."""
    main = re.split(r"[;:]|,\s+or\b", title.casefold().strip(" ;:"), maxsplit=1)[0]
    words = re.sub(r"[\W_]+", " ", main).split()
    if len(words) > 1 and words[0] in ("the", "a", "an"):
        words = words[1:]
    return " ".join(words) or title.casefold().strip()


def as_list(titles: Titles | None) -> list[str] | None:
    if titles is None:
        return None
    return [str(t) for t in ([titles] if isinstance(titles, str | int) else titles)]


def split_titles(
    titles: Mapping[str, str], named: Mapping[Split, list[str] | None], seed: int
) -> dict[str, Split]:
    """The split of each normalized title: as named; the seed chooses one title for a held-out split
    that names none; the rest is training. UserError if a named title does not exist or is named
    twice, or if no title is left for a split."""
    chosen = {split: _matches(split, parts, titles) for split, parts in named.items()}
    taken = [key for keys in chosen.values() for key in keys]
    if both := sorted(titles[key] for key in taken if taken.count(key) > 1):
        raise UserError(
            f"data.test and data.validation both name {both[0]!r}: a title can be in one only"
        )
    missing = [split for split in chosen if not chosen[split]]
    if len(titles) - len(taken) <= len(missing):
        raise UserError(
            f"data.path has too few titles ({'; '.join(titles.values())}): training, "
            "data.validation and data.test need at least one title each; add books, "
            "name fewer titles, or use data=text"
        )
    generator = random.Random(seed)
    for split in missing:
        key = generator.choice(sorted(titles.keys() - set(taken)))
        chosen[split] = {key}
        taken.append(key)
    splits = {key: split for split, keys in chosen.items() for key in keys}
    return {key: splits.get(key, "training") for key in titles}


def _matches(split: str, parts: list[str] | None, titles: Mapping[str, str]) -> set[str]:
    """The normalized titles that contain one of these parts; none if the seed chooses."""
    if parts is None:
        return set()
    known = f"give null, or titles from these: {'; '.join(sorted(titles.values()))}"
    if not parts:
        raise UserError(f"data.{split} is an empty list: {known}")
    matches: set[str] = set()
    for part in parts:
        form = normalized(part)
        here = {key for key in titles if form and form in key}
        if not here:
            raise UserError(f"data.{split} names {part!r}, but no book has that title: {known}")
        matches |= here
    return matches
