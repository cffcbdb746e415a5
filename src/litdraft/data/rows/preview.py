"""Print training rows for people to check."""

from __future__ import annotations

from rich.console import Console
from rich.text import Text

from litdraft.data.rows.rows import Row, Rows
from litdraft.tokenizers.base import Tokenizer

TRAINED, CONTEXT = "bold green", "dim"


def show(rows: Rows, count: int, tokenizer: Tokenizer, console: Console) -> None:
    """Print the first `count` rows decoded, with trained spans in colour, and how many tokens are
    trained on."""
    for number in range(min(count, len(rows))):
        row = rows[number]
        trained, tokens = int(row.trained_T.sum()), len(row.tokens_T)
        console.rule(f"row {number + 1} of {len(rows):,}: {tokens} tokens, {trained} trained on")
        console.print(decoded(row, tokenizer))
    trained, tokens = rows.trained_count(), rows.token_count()
    console.rule()
    console.print(
        f"{len(rows):,} rows, {tokens:,} tokens; [{TRAINED}]{trained:,} are trained on[/] "
        f"({trained / max(tokens, 1):.1%}), [{CONTEXT}]the others are context[/]"
    )


def decoded(row: Row, tokenizer: Tokenizer) -> Text:
    """A row's text; trained spans are coloured and inside brackets, which stay visible without
    colour."""
    text = Text()
    tokens, trained = row.tokens_T.tolist(), row.trained_T.tolist()
    first = 0
    for position in range(1, len(tokens) + 1):
        if position < len(tokens) and trained[position] == trained[first]:
            continue
        part = between(tokens, first, position, tokenizer)
        text.append(f"⟦{part}⟧" if trained[first] else part, TRAINED if trained[first] else CONTEXT)
        first = position
    return text


def between(tokens: list[int], begin: int, end: int, tokenizer: Tokenizer) -> str:
    """The text that tokens [begin, end) add, and a mark for end-of-text. Decoding them alone would
    lose a leading space."""
    before, whole = tokenizer.decode(tokens[:begin]), tokenizer.decode(tokens[:end])
    part = whole[len(before) :] if whole.startswith(before) else tokenizer.decode(tokens[begin:end])
    ended = tokenizer.eos is not None and tokens[end - 1] == tokenizer.eos
    return part + ("⏎end" if ended else "")
