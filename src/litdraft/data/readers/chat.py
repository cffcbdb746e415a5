"""Conversations as pieces: what an assistant writes, and what a chat template puts between."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litdraft.data.readers.text_files import read_text
from litdraft.data.sources.examples import Example, Piece
from litdraft.errors import UserError
from litdraft.tokenizers.chat_template import ChatTemplate, Message
from litdraft.tokenizers.load import Tokenizer

ROLES = ("system", "developer", "user", "assistant", "tool")
SHAREGPT = {"human": "user", "gpt": "assistant"}


def template_for(tokenizer: Tokenizer, path: str | Path | None) -> ChatTemplate | None:
    """The tokenizer's own template, or that of a .jinja file, where one is given."""
    if path is None:
        return tokenizer.template
    bos, eos = ("" if i is None else tokenizer.piece(i) for i in (tokenizer.bos, tokenizer.eos))
    return ChatTemplate(read_text(Path(path).expanduser()), bos, eos, str(path))


def checked_messages(given: Any, place: str) -> list[Message]:
    """Messages of a role and a content each, from those or from ShareGPT's `from` and `value`.

    Other keys are kept, because templates read some. UserError if it is no such list.
    """
    if not isinstance(given, list) or not given:
        raise UserError(
            f"{place} has no messages: give a list of at least one, each with role and content"
        )
    return [_message(entry, place) for entry in given]


def _message(entry: Any, place: str) -> Message:
    told = entry if isinstance(entry, dict) else {}
    role = told.get("role", SHAREGPT.get(str(told.get("from")), told.get("from")))
    content = told.get("content", told.get("value"))
    if not isinstance(role, str) or not isinstance(content, str):
        raise UserError(
            f"{place} has a message that is not an object of two texts, role and content (or from "
            f"and value), but {str(entry)[:80]}: mend it"
        )
    if role not in ROLES:
        known = ", ".join((*ROLES, *SHAREGPT) if "from" in told else ROLES)
        raise UserError(f"{place} has a message of the role {role!r}: choose one of {known}")
    return {**told, "role": role, "content": content}


def conversation(
    messages: Sequence[Message],
    template: ChatTemplate | None,
    place: str = "",
    group: str = "",
) -> Example:
    """A conversation as rendered; every assistant's message and its end is a written piece.

    If the last message is not the assistant's, the last piece is given and ends where an answer
    would begin. Without a template a single user message is plain text. UserError if there is none
    for more, or if it does not render a conversation as the beginning of a longer one.
    """
    if template is not None:
        return Example(_pieces(messages, template, place), group, place, rendered=True)
    if [message["role"] for message in messages] == ["user"]:
        return Example((Piece(messages[0]["content"]),), group, place)
    raise UserError(
        f"{place or 'a conversation'}: the target's tokenizer has no chat template: give "
        "data.template=FILE.jinja, or put a chat_template.jinja beside the tokenizer"
    )


def _pieces(messages: Sequence[Message], template: ChatTemplate, place: str) -> tuple[Piece, ...]:
    def rendered(count: int, answer: bool) -> str:
        try:
            return template.render(messages[:count], answer)
        except UserError as error:
            raise UserError(f"{place}: {error}" if place else str(error)) from error

    pieces, done = [], ""
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        asked, answered = rendered(number, True), rendered(number + 1, False)
        pieces.append(Piece(_behind(done, asked, place)))
        pieces.append(Piece(_behind(asked, answered, place), written=True))
        done = answered
    if messages[-1]["role"] != "assistant":
        pieces.append(Piece(_behind(done, rendered(len(messages), True), place)))
    _check(pieces, place)
    return tuple(piece for piece in pieces if piece.text)


def _behind(earlier: str, text: str, place: str) -> str:
    """What `text` adds; UserError if it does not begin as the shorter conversation went."""
    if text.startswith(earlier):
        return text[len(earlier) :]
    pairs = enumerate(zip(earlier, text, strict=False))
    at = next((at for at, (one, other) in pairs if one != other), len(text))
    raise UserError(
        f"{place or 'a conversation'}: the chat template spells earlier turns otherwise once more "
        f"follow (first {earlier[at : at + 30]!r}, then {text[at : at + 30]!r}), so it does not "
        "tell what the assistant wrote: give data.template=FILE.jinja one that only adds text"
    )


def _check(pieces: Sequence[Piece], place: str) -> None:
    """UserError if an answer is left out, so that no mask covers it, or nothing stands before."""
    lost = any(piece.written and not piece.text for piece in pieces)
    if lost or not pieces[0].text:
        what = "an assistant's message" if lost else "what stands before the answer"
        raise UserError(
            f"{place or 'a conversation'}: the chat template writes nothing for {what}: give "
            "data.template=FILE.jinja one that does"
        )
