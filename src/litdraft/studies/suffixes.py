"""The tokens that can go on a word, and how often they stand in a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from litdraft.reports.markdown import table
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.token_kinds import KINDS, SUFFIX, TokenKinds, text_of

SHOWN = 30  # on the terminal, of those that were counted


def suffixes(tokenizer: Tokenizer, texts: Iterable[str] | None) -> dict[str, Any]:
    """All of them; with texts how often each stands there (`count`) and how often it goes on a word
    (`inside`), the most frequent first."""
    kinds = TokenKinds.of(tokenizer)
    seen: Counter[int] = Counter()
    inside: Counter[int] = Counter()
    tokens = 0
    for text in () if texts is None else texts:
        ids = torch.tensor([0, *tokenizer.encode(text, bos=False)])
        kind_n = kinds.in_context(ids[:-1], ids[1:])
        seen.update(ids[1:][kinds.kind_V[ids[1:]] == SUFFIX].tolist())
        inside.update(ids[1:][kind_n == SUFFIX].tolist())
        tokens += len(kind_n)
    listed: list[dict[str, Any]] = [
        {"id": token, "piece": tokenizer.piece(token), "text": text_of(tokenizer, token)}
        for token in kinds.suffixes()
    ]
    if texts is not None:
        listed = [{**one, "count": seen[one["id"]], "inside": inside[one["id"]]} for one in listed]
        listed.sort(key=lambda one: (-one["inside"], -one["count"], one["id"]))
    sizes = torch.bincount(kinds.kind_V, minlength=len(KINDS)).tolist()
    return {
        "pieces": tokenizer.size,
        "kinds": dict(zip(KINDS, sizes, strict=True)),
        "tokens": tokens if texts is not None else None,
        "inside": inside.total() if texts is not None else None,
        "suffixes": listed,
    }


def headline(told: dict[str, Any]) -> str:
    ours = f"{len(told['suffixes']):,} of {told['pieces']:,} pieces can go on a word"
    if not told["tokens"]:
        return ours
    share = 100 * told["inside"] / told["tokens"]
    return f"{ours}; {share:.1f} % of {told['tokens']:,} tokens of the text do"


def cells(told: dict[str, Any]) -> list[list[str]]:
    """The list, its head first."""
    keys = ["id", "piece", *(["count", "inside"] if told["tokens"] is not None else [])]
    return [keys, *([str(one[key]) for key in keys] for one in told["suffixes"])]


def markdown(told: dict[str, Any]) -> str:
    lines = [
        f"# Suffix tokens of {told['tokenizer']}",
        "",
        f"**{headline(told)}.**",
        "",
        *table([list(told["kinds"]), [f"{count:,}" for count in told["kinds"].values()]]),
        "",
        *table([[cell.replace("|", "\\|") for cell in line] for line in cells(told)]),
        "",
        f"`{told['command']}`",
        "",
    ]
    return "\n".join(lines)


def show(told: dict[str, Any], folder: Path) -> None:
    console = Console(highlight=False)
    console.print(f"\n{headline(told)}", style="bold", markup=False)
    head, *body = cells(told)
    if told["tokens"] is None:
        some = dict.fromkeys(one["text"].strip() for one in told["suffixes"])
        console.print(" ".join(some), markup=False)
    else:
        seen = Table(
            *head, title=f"the {min(SHOWN, len(body))} most frequent", title_justify="left"
        )
        for line in body[:SHOWN]:
            seen.add_row(*line)
        console.print(seen)
    places = f"study: {folder}/study.md and study.json"
    console.print(places, markup=False, soft_wrap=True)
