"""Chat templates: the Jinja text that comes with a tokenizer, and what it makes of messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from litdraft.errors import UserError
from litdraft.io import read_json

Message = Mapping[str, Any]


@dataclass(frozen=True)
class ChatTemplate:
    """Jinja text, and how BOS and EOS are spelled in it ("": there is none); `place` is its file,
    for errors."""

    text: str
    bos: str = ""
    eos: str = ""
    place: str = ""

    def render(self, messages: Sequence[Message], answer: bool) -> str:
        """As transformers renders it; `answer` asks for the words that begin an assistant's turn.
        UserError if the template is broken or refuses the messages."""
        import jinja2  # these two are slow to import, and few runs chat
        from transformers.utils.chat_template_utils import render_jinja_template

        named = {"bos_token": self.bos, "eos_token": self.eos}
        tokens = {name: token for name, token in named.items() if token}
        conversation = [dict(message) for message in messages]
        what = self.place or "the chat template"
        try:
            rendered, _ = render_jinja_template(
                [conversation], chat_template=self.text, add_generation_prompt=answer, **tokens
            )
        except jinja2.TemplateSyntaxError as error:
            raise UserError(
                f"{what} is no Jinja (its line {error.lineno}: {error.message}): "
                "give data.template=FILE.jinja another"
            ) from error
        except Exception as error:  # templates compute, so they can raise anything
            roles = ", ".join(str(message.get("role")) for message in messages) or "no messages"
            raise UserError(
                f"{what} refuses a conversation: {error} (its turns: {roles}); change it, or give "
                "data.template=FILE.jinja another template"
            ) from error
        text: str = rendered[0]
        return text


def find_template(folder: Path, bos: str, eos: str) -> ChatTemplate | None:
    """That of a tokenizer's folder: chat_template.jinja, else what its tokenizer_config.json
    names; None if neither. UserError if it is unreadable or no text."""
    path = folder / "chat_template.jinja"
    if path.exists():
        try:
            return ChatTemplate(path.read_text(encoding="utf-8-sig"), bos, eos, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not readable as text ({error}): restore it") from error
    path = folder / "tokenizer_config.json"
    named: Any = read_json(path).get("chat_template") if path.exists() else None
    if isinstance(named, list):
        entries = [entry for entry in named if isinstance(entry, dict)]
        named = next((e.get("template") for e in entries if e.get("name") == "default"), None)
    if named is None or isinstance(named, str):
        return ChatTemplate(named, bos, eos, str(path)) if named else None
    raise UserError(
        f"{path}: chat_template is {type(named).__name__}, but text was expected: mend the file"
    )
