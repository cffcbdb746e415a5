"""Conversations as segments: the assistant's messages, and the text between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from litdraft.data.readers.text_files import read_text
from litdraft.data.sources.examples import Example, Segment
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.chat_template import ChatTemplate, Message

ROLES = ("system", "developer", "user", "assistant", "tool")
SHAREGPT = {"human": "user", "gpt": "assistant"}


def template_for(tokenizer: Tokenizer, path: str | Path | None) -> ChatTemplate | None:
    """The template in a .jinja file if a path is given, otherwise the tokenizer's own."""
    if path is None:
        return tokenizer.template
    bos, eos = ("" if i is None else tokenizer.piece(i) for i in (tokenizer.bos, tokenizer.eos))
    return ChatTemplate(read_text(Path(path).expanduser()), bos, eos, str(path))


def checked_messages(messages: Any, location: str) -> list[Message]:
    """Messages with role and content, also from ShareGPT's `from` and `value`.

    Other keys are kept, because some templates read them. UserError for anything else.
    """
    if not isinstance(messages, list) or not messages:
        raise UserError(
            f"{location} has no messages: give a list of at least one, each with role and content"
        )
    return [_message(entry, location) for entry in messages]


def _message(entry: Any, location: str) -> Message:
    keys = entry if isinstance(entry, dict) else {}
    role = keys.get("role", SHAREGPT.get(str(keys.get("from")), keys.get("from")))
    content = keys.get("content", keys.get("value"))
    if not isinstance(role, str) or not isinstance(content, str):
        raise UserError(
            f"{location} has the message {str(entry)[:80]}, but an object with the texts role and "
            "content (or from and value) was expected: fix it"
        )
    if role not in ROLES:
        known = ", ".join((*ROLES, *SHAREGPT) if "from" in keys else ROLES)
        raise UserError(f"{location} has a message with the role {role!r}: choose one of {known}")
    return {**keys, "role": role, "content": content}


def conversation(
    messages: Sequence[Message],
    template: ChatTemplate | None,
    location: str = "",
    group: str = "",
) -> Example:
    """A rendered conversation; each assistant message with its end is a response.

    If the last message is not the assistant's, the last segment is a prompt and ends where an
    answer would begin. Without a template a single user message is plain text, and anything else is
    a UserError. So is a template that does not render a conversation as a prefix of a longer one.
    """
    if template is not None:
        return Example(_pieces(messages, template, location), group, location, rendered=True)
    if [message["role"] for message in messages] == ["user"]:
        return Example((Segment(messages[0]["content"]),), group, location)
    raise UserError(
        f"{location or 'a conversation'}: the target's tokenizer has no chat template: give "
        "data.template=FILE.jinja, or put a chat_template.jinja into the tokenizer's folder"
    )


def _pieces(
    messages: Sequence[Message], template: ChatTemplate, location: str
) -> tuple[Segment, ...]:
    def rendered(count: int, answer: bool) -> str:
        try:
            return template.render(messages[:count], answer)
        except UserError as error:
            raise UserError(f"{location}: {error}" if location else str(error)) from error

    segments, done = [], ""
    for number, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        prompt, answered = rendered(number, True), rendered(number + 1, False)
        segments.append(Segment(_added_text(done, prompt, location)))
        segments.append(Segment(_added_text(prompt, answered, location), response=True))
        done = answered
    if messages[-1]["role"] != "assistant":
        segments.append(Segment(_added_text(done, rendered(len(messages), True), location)))
    _check(segments, location)
    return tuple(segment for segment in segments if segment.text)


def _added_text(earlier: str, text: str, location: str) -> str:
    """What `text` adds to the `earlier` text; UserError if it does not begin with it."""
    if text.startswith(earlier):
        return text[len(earlier) :]
    pairs = enumerate(zip(earlier, text, strict=False))
    start = next((i for i, (one, other) in pairs if one != other), len(text))
    raise UserError(
        f"{location or 'a conversation'}: the chat template changes earlier turns when more turns "
        f"follow (from {earlier[start : start + 30]!r} to {text[start : start + 30]!r}), so the "
        "assistant's text cannot be located: give data.template=FILE.jinja one that only adds text"
    )


def _check(segments: Sequence[Segment], location: str) -> None:
    """UserError if the template leaves out an answer, or everything before the first one."""
    lost = any(segment.response and not segment.text for segment in segments)
    if lost or not segments[0].text:
        what = "an assistant's message" if lost else "the turns before the answer"
        raise UserError(
            f"{location or 'a conversation'}: the chat template writes nothing for {what}: give "
            "data.template=FILE.jinja one that does"
        )
