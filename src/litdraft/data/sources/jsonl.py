"""JSON lines: each with a prompt and its response, or with a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from litdraft.data.readers.chat import checked_messages, conversation, template_for
from litdraft.data.readers.text_files import Paths, files_of, json_lines, read_text, stamp
from litdraft.data.sources.examples import Example, LazyExamples, Segment, Split
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.chat_template import ChatTemplate, Message

SHAREGPT_KEY = "conversations"


class Line(NamedTuple):
    """A checked line: its segments, or its messages."""

    location: str
    group: str
    segments: tuple[Segment, ...] = ()
    messages: Sequence[Message] = ()


class JSONL:
    """Lines with `prompt_key` and `response_key`, used as they are, or with a conversation.

    A conversation is under `messages_key` (or ShareGPT's `conversations`) and is preferred to a
    prompt on the same line. The tokenizer's chat template, or the file `template`, renders it. A
    line without a response is only a prompt. `group_key`: the key of a category for reports.
    """

    documents = False

    def __init__(
        self,
        path: Paths,
        validation: Paths | None = None,
        test: Paths | None = None,
        prompt_key: str = "prompt",
        response_key: str = "response",
        messages_key: str | None = "messages",
        group_key: str | None = None,
        template: str | None = None,
    ) -> None:
        held_out: dict[Split, Paths | None] = {"validation": validation, "test": test}
        self.path, self.held_out = path, {s: paths for s, paths in held_out.items() if paths}
        self.prompt_key, self.response_key = prompt_key, response_key
        self.messages_key, self.group_key, self.template = messages_key, group_key, template

    @property
    def own_splits(self) -> frozenset[Split]:
        return frozenset(self.held_out)

    def facts(self) -> dict[str, Any]:
        keys = [self.prompt_key, self.response_key, self.messages_key, self.group_key]
        template = None if self.template is None else read_text(Path(self.template).expanduser())
        files = {split: [stamp(file) for file in files] for split, files in self._files.items()}
        return {"source": "jsonl", "keys": keys, "template": template, "files": files}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        """Lines are checked at once; conversations are rendered on access."""
        template = template_for(tokenizer, self.template)
        rows = (row for file in self._files[split] for row in json_lines(file))
        lines = [self._line(location, row) for location, row in rows]
        return LazyExamples(lines, lambda _, line: _example(line, template))

    @cached_property
    def _files(self) -> dict[Split, list[Path]]:
        files: dict[Split, list[Path]] = {"training": files_of(self.path, (".jsonl",))}
        for split, paths in self.held_out.items():
            files[split] = files_of(paths, (".jsonl",), f"data.{split}")
        named = [file.resolve() for split in self.held_out for file in files[split]]
        held_out = set(named)
        if len(held_out) < len(named):
            raise UserError("data.validation and data.test share a file: give each a different one")
        files["training"] = [f for f in files["training"] if f.resolve() not in held_out]
        return files

    def _line(self, location: str, row: dict[str, Any]) -> Line:
        has = f"{location} has {', '.join(row) or 'no key'}"
        group = row.get(self.group_key, "") if self.group_key else ""
        if not isinstance(group, str):
            raise UserError(f"{location}: {self.group_key} is {group!r}, but must be text: fix it")
        keys = [key for key in (self.messages_key, SHAREGPT_KEY) if key and key in row]
        if self.messages_key and keys:
            return Line(location, group, messages=checked_messages(row[keys[0]], location))
        prompt, response = row.get(self.prompt_key), row.get(self.response_key)
        if not isinstance(prompt, str) or not isinstance(response, str | None):
            messages = f"{self.messages_key} or " if self.messages_key else ""
            raise UserError(
                f"{has}, but {messages}the texts {self.prompt_key} and {self.response_key} were "
                "expected: name yours in data.prompt_key, data.response_key or data.messages_key"
            )
        if not prompt and not response:
            raise UserError(f"{location} has an empty prompt and no response: fill it or remove it")
        segments: tuple[Segment, ...] = (Segment(prompt),)
        if response is not None:
            segments += (Segment(response, response=True),)
        return Line(location, group, segments)


def _example(line: Line, template: ChatTemplate | None) -> Example:
    if line.messages:
        return conversation(line.messages, template, line.location, line.group)
    return Example(line.segments, line.group, line.location)
