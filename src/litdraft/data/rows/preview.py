"""What a drafter will be trained on, for people to look at."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from litdraft.data.rows.rows import Row, Rows
from litdraft.tokenizers.load import Tokenizer

TRAINED, GIVEN = "bold green", "dim"


def show(rows: Rows, count: int, tokenizer: Tokenizer, console: Console) -> None:
    """The first rows decoded, trained spans in colour, and how much of all rows they are."""
    for number in range(min(count, len(rows))):
        row = rows[number]
        trained, tokens = int(row.trained_T.sum()), len(row.tokens_T)
        console.rule(f"row {number + 1} of {len(rows):,}: {tokens} tokens, {trained} trained on")
        console.print(decoded(row, tokenizer))
    trained, tokens = rows.trained(), rows.tokens()
    console.rule()
    console.print(
        f"{len(rows):,} rows, {tokens:,} tokens; [{TRAINED}]{trained:,} are trained on[/] "
        f"({trained / max(tokens, 1):.1%}), [{GIVEN}]the others are only read[/]"
    )


def decoded(row: Row, tokenizer: Tokenizer) -> Text:
    """A row's text; runs of trained tokens stand in colour, between marks that survive without."""
    text = Text()
    tokens, trained = row.tokens_T.tolist(), row.trained_T.tolist()
    first = 0
    for place in range(1, len(tokens) + 1):
        if place < len(tokens) and trained[place] == trained[first]:
            continue
        part = between(tokens, first, place, tokenizer)
        text.append(f"⟦{part}⟧" if trained[first] else part, TRAINED if trained[first] else GIVEN)
        first = place
    return text


def between(tokens: list[int], begin: int, end: int, tokenizer: Tokenizer) -> str:
    """The text that these tokens add, end-of-text shown; a piece alone would lose its space."""
    before, whole = tokenizer.decode(tokens[:begin]), tokenizer.decode(tokens[:end])
    part = whole[len(before) :] if whole.startswith(before) else tokenizer.decode(tokens[begin:end])
    ended = tokenizer.eos is not None and tokens[end - 1] == tokenizer.eos
    return part + ("⏎end" if ended else "")
