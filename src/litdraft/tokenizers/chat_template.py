"""Chat templates: the Jinja text of a tokenizer, which renders messages as text."""

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
    """Jinja text, and the pieces of BOS and EOS in it ("": there is none). `location`: its file,
    for errors."""

    text: str
    bos: str = ""
    eos: str = ""
    location: str = ""

    def render(self, messages: Sequence[Message], answer: bool) -> str:
        """The messages as transformers renders them; with `answer`, the text that begins the
        assistant's turn is added. UserError if the template is broken or refuses them."""
        import jinja2  # these two are slow to import, and few runs need them
        from transformers.utils.chat_template_utils import render_jinja_template

        pieces = {"bos_token": self.bos, "eos_token": self.eos}
        tokens = {name: piece for name, piece in pieces.items() if piece}
        conversation = [dict(message) for message in messages]
        what = self.location or "the chat template"
        try:
            rendered, _ = render_jinja_template(
                [conversation], chat_template=self.text, add_generation_prompt=answer, **tokens
            )
        except jinja2.TemplateSyntaxError as error:
            raise UserError(
                f"{what} is not valid Jinja (line {error.lineno}: {error.message}): "
                "give data.template=FILE.jinja another"
            ) from error
        except Exception as error:  # templates run code, so they can raise anything
            roles = ", ".join(str(message.get("role")) for message in messages) or "no messages"
            raise UserError(
                f"{what} does not accept a conversation: {error} (its turns: {roles}); change it, "
                "or give data.template=FILE.jinja another template"
            ) from error
        text: str = rendered[0]
        return text


def find_template(folder: Path, bos: str, eos: str) -> ChatTemplate | None:
    """The template of a tokenizer's folder: chat_template.jinja, otherwise the one in
    tokenizer_config.json; None if neither exists. UserError if it is unreadable or not text."""
    path = folder / "chat_template.jinja"
    if path.exists():
        try:
            return ChatTemplate(path.read_text(encoding="utf-8-sig"), bos, eos, str(path))
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not readable as text ({error}): restore it") from error
    path = folder / "tokenizer_config.json"
    template: Any = read_json(path).get("chat_template") if path.exists() else None
    if isinstance(template, list):
        entries = [entry for entry in template if isinstance(entry, dict)]
        template = next((e.get("template") for e in entries if e.get("name") == "default"), None)
    if template is None or isinstance(template, str):
        return ChatTemplate(template, bos, eos, str(path)) if template else None
    raise UserError(
        f"{path}: chat_template is {type(template).__name__}, but text was expected: fix the file"
    )
